"""The rules between values, and between files, that a JSON Schema cannot say."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.config import hints
from harness.config.composed import Composed, Keys
from harness.config.sentences import Finding
from harness.errors import Problem
from harness.gates.comparison import parse

UNSUPPORTED = {"mps": "Apple's GPU", "xpu": "Intel's GPU"}
# Options that do nothing unless the scenario names them as `${model}`, …
READ_BY_SCENARIO = ("model", "data", "llm", "prompts", "load")
VARYING = ("scenario", "device", *READ_BY_SCENARIO)  # parts whose keys differ from option to option
NOWHERE = "names nothing in the configuration"
_PACKAGE = re.compile(r"\s*#\s*@package\b")


def findings(composed: Composed, catalogue: Container[str]) -> Iterator[Finding]:
    """What is wrong between the values of a configuration."""
    config = composed.config
    own = config.get("metrics")
    known = {*(catalogue if isinstance(catalogue, Iterable) else ()), *(own if isinstance(own, Mapping) else ())}
    yield from _rules(config, known)
    yield from _advice(config, known)
    yield from _device(config)
    yield from _scenario_package(config)


def _rules(config: Mapping[str, Any], known: set[str]) -> Iterator[Finding]:
    threshold = config.get("threshold")
    rules = threshold.get("rules") if isinstance(threshold, Mapping) else None
    for at, rule in enumerate(rules if isinstance(rules, list) else []):
        if isinstance(rule, Mapping):
            keys = ("threshold", "rules", str(at))
            yield from _subject(rule, keys, known)
            yield from _limits(rule, keys)
            yield from _when(rule, keys, config)


def _subject(rule: Mapping[str, Any], keys: Keys, known: set[str]) -> Iterator[Finding]:
    metric, event, stat = rule.get("metric"), rule.get("event"), rule.get("stat")
    if (metric is None) == (event is None):
        yield Finding(keys, "must name either a metric or an event")
    if isinstance(metric, str):
        yield from _declared(metric, (*keys, "metric"), known)
    if metric is not None and event is None and (stat is None or stat == "count"):
        yield Finding((*keys, "stat"), "must be given for a metric", "for example stat: p95")
    if event is not None and metric is None and stat not in (None, "count"):
        yield Finding((*keys, "stat"), f"an event is counted, found {hints.shown(stat)}", "leave out stat")
    if event is not None and rule.get("by") == "interval":
        yield Finding((*keys, "by"), "a count of events has no interval", "leave out by")


def _declared(metric: str, keys: Keys, known: set[str]) -> Iterator[Finding]:
    if metric not in known:
        hint = hints.did_you_mean(metric, known) or f"declare it: metrics: {{{metric}: {{unit: ms, better: lower}}}}"
        yield Finding(keys, f"no metric is called {metric!r}", hint)


def _advice(config: Mapping[str, Any], known: set[str]) -> Iterator[Finding]:
    """A condition on a metric that nobody declares would never be decided."""
    rules = config.get("recommend")
    for name, rule in (rules if isinstance(rules, Mapping) else {}).items():
        when = rule.get("when") if isinstance(rule, Mapping) else None
        for at, condition in enumerate(when if isinstance(when, list) else []):
            fact = condition.get("fact") if isinstance(condition, Mapping) else None
            if isinstance(fact, str) and fact.startswith("metric."):
                keys = ("recommend", str(name), "when", str(at), "fact")
                yield from _declared(fact.removeprefix("metric.").rpartition(".")[0], keys, known)


def _limits(rule: Mapping[str, Any], keys: Keys) -> Iterator[Finding]:
    misspelt = any(hints.nearest(str(key), ("warning", "critical")) for key in rule)
    if rule.get("warning") is None and rule.get("critical") is None and not misspelt:
        yield Finding(keys, "must have warning, critical or both", 'for example critical: "> 500"')
    for level in ("warning", "critical"):
        if rule.get(level) is not None:
            try:
                parse(rule[level])
            except ValueError as error:
                yield Finding((*keys, level), str(error))


def _when(rule: Mapping[str, Any], keys: Keys, config: Mapping[str, Any]) -> Iterator[Finding]:
    """A condition on a key that cannot be there would switch the rule off for ever."""
    when = rule.get("when")
    for path in map(str, when if isinstance(when, Mapping) else ()):
        first, *rest = path.split(".")
        node = config.get(first)
        if first in VARYING:
            continue
        if first not in config:
            yield Finding((*keys, "when", path), NOWHERE, hints.did_you_mean(first, {*config, *VARYING}))
        elif rest and isinstance(node, Mapping) and rest[0] not in node:
            yield Finding((*keys, "when", path), NOWHERE, hints.did_you_mean(rest[0], map(str, node)))


def _device(config: Mapping[str, Any]) -> Iterator[Finding]:
    device = config.get("device")
    kind = device.get("kind") if isinstance(device, Mapping) else None
    if isinstance(kind, str) and kind in UNSUPPORTED:
        message = f"{kind} ({UNSUPPORTED[kind]}) is not supported"
        yield Finding(("device", "kind"), message, "use device=cpu, device=cuda or device=auto")


def _scenario_package(config: Mapping[str, Any]) -> Iterator[Finding]:
    node = config.get("scenario")
    if isinstance(node, Mapping) and "_target_" not in node and isinstance(node.get("scenario"), Mapping):
        message = "must be given; it stands one level too deep, as scenario.scenario"
        yield Finding(("scenario", "_target_"), message, "line 1 of the file must be `# @package _global_`")


def file_problems(composed: Composed) -> list[Problem]:
    """What is wrong with the files of the options chosen: never read, read elsewhere than meant, or of no use."""
    problems = []
    for group, shown in composed.sources.items():
        option = composed.groups[group][str(composed.choices[group])]
        message = f"is never read: {shown} has the same name and comes first"
        problems += [Problem(hidden, message, "rename it") for hidden in option.shadowed]
        line = _late_header(option.path)
        if line:
            problems.append(Problem(f"{shown}:{line}", "the package header is ignored here", "move it to line 1"))
    return problems + _unused(composed)


def _late_header(path: Path) -> int:
    """The line of a package header below the place where Hydra looks for one; 0 where there is none."""
    in_header = True
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if _PACKAGE.match(line) and not in_header:
            return number
        in_header = in_header and (not line.strip() or re.match(r"\s*#\s*@", line) is not None)
    return 0


def _unused(composed: Composed) -> list[Problem]:
    """An option asked for by hand that the scenario never looks at: the person thinks that it was measured."""
    if composed.job or composed.mode == "MULTIRUN" or composed.is_unresolved(("scenario",)):
        return []
    problems = []
    for one in composed.assignments:
        name = one.keys[0]
        if name not in READ_BY_SCENARIO or composed.is_unresolved((name,)):
            continue
        mentioned = re.compile(r"\$\{\.*" + name + r"\b")
        if not any(mentioned.search(text) for keys, text in composed.references.items() if keys[0] != name):
            scenario = composed.choices.get("scenario")
            problems.append(Problem(f"override {one.text}", f"has no effect: scenario {scenario!r} reads no {name}"))
    return problems
