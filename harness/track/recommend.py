"""Recommendations: what to change after a run, each by a rule with its evidence.

Rules are those of `conf/recommend/rules/` and a configuration's own, under `recommend`. A rule's conditions must all
hold. Where a fact that it asks for is not known, as a sensor that this host does not have, the rule is not decided, and
the result says so. A recommendation is an advice: it never changes a verdict.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import ConfigError, HarnessError, Problem
from harness.gates.comparison import Comparison, parse
from harness.paths import data
from harness.results import baseline
from harness.results.work import work_digest
from harness.track.facts import Facts, facts_of, iterations_per_s

Severity = Literal["info", "warning", "critical"]
SEVERITIES = ("info", "warning", "critical")
_KEYS = {"severity", "issue", "when", "evidence", "action"}
# Overrides after which a scenario still does the same work in an iteration.
_HARMLESS = {
    "scenario",
    "suite",
    "device",
    "lock",
    "telemetry",
    "strict",
    "tags",
    "measure.iterations",
    "measure.warmup",
}
_PLACE = re.compile(r"\{([a-z0-9_.]+)\}")
# Facts that exist only where what they speak of does: without a limit there is no share of it.
_OPTIONAL = ("memory.limit", "event.", "metric.", "throughput.below", "warmup.")


@dataclass(frozen=True)
class Condition:
    """One comparison on one fact."""

    fact: str
    limit: Comparison


@dataclass(frozen=True)
class Rule:
    """When something is worth changing, what shows it, and what to do."""

    name: str
    severity: Severity
    issue: str
    when: tuple[Condition, ...]
    evidence: str
    action: str


def load_rules(folder: Path | None = None, own: Mapping[str, Any] | None = None) -> list[Rule]:
    """The rules of all YAML files of a folder, the shipped ones by default, and those that a configuration adds.

    One of its own takes the place of a shipped one with the same name; None in that place takes it away.

    Raises:
        ConfigError: one or more rules are wrong; every problem is listed with its file.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    nodes: dict[str, tuple[str, Any]] = {}
    for path in sorted((folder or data("conf") / "recommend" / "rules").glob("*.yaml")):
        for name, node in (yaml.load(path.read_text(encoding="utf-8"), loader) or {}).items():  # noqa: S506 - safe loader
            nodes[name] = f"recommend/rules/{path.name}: {name}", node
    nodes |= {name: (f"recommend.{name}", node) for name, node in (own or {}).items()}
    rules: list[Rule] = []
    problems: list[Problem] = []
    for name, (place, node) in nodes.items():
        try:
            rules += [] if node is None else [_rule(name, node)]
        except (ValueError, TypeError, KeyError) as error:
            problems.append(Problem(place, str(error), f"a rule has exactly the keys {', '.join(sorted(_KEYS))}"))
    if problems:
        raise ConfigError(problems)
    return rules


def _rule(name: str, node: Mapping[str, Any]) -> Rule:
    if set(node) != _KEYS:
        odd = sorted(set(node) ^ _KEYS)
        raise ValueError(f"missing or unknown: {', '.join(odd)}")
    if node["severity"] not in SEVERITIES:
        raise ValueError(f"severity should be one of {', '.join(SEVERITIES)}, found {node['severity']!r}")
    if not node["when"]:
        raise ValueError("a rule needs at least one condition, or it would always hold")
    when = tuple(Condition(str(each["fact"]), parse(each["is"])) for each in node["when"])
    return Rule(name, node["severity"], node["issue"], when, node["evidence"], node["action"])


def recommend(document: Mapping[str, Any], rules: Sequence[Rule], expected: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the result document gets: `recommendations`, worst first, and the `anomalies` of the run."""
    facts = facts_of(document, expected)
    found, undecided = [], []
    for rule in rules:
        missing = [condition.fact for condition in rule.when if condition.fact not in facts]
        if missing:
            if not missing[0].startswith(_OPTIONAL):
                undecided.append({"rule": rule.name, "missing": missing[0]})
        elif all(condition.limit.holds(float(facts[condition.fact])) for condition in rule.when):
            found.append(_entry(rule, facts))
    found.sort(key=lambda entry: -SEVERITIES.index(entry["severity"]))
    return {
        "recommendations": {
            "found": found,
            "undecided": undecided,
            "throughput": None if expected is None else {"per_s": expected["per_s"], "source": expected["source"]},
        },
        "anomalies": anomalies(document, found),
    }


def _entry(rule: Rule, facts: Facts) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "severity": rule.severity,
        "issue": _filled(rule.issue, facts),
        "evidence": _filled(rule.evidence, facts),
        "action": _filled(rule.action, facts),
        "facts": {condition.fact: facts[condition.fact] for condition in rule.when},
    }


def _filled(text: str, facts: Facts) -> str:
    """The text with `{fact}` replaced by its value, in three significant digits."""

    def value(match: re.Match[str]) -> str:
        found = facts.get(match[1], "unknown")
        return found if isinstance(found, str) else f"{found:.3g}" if abs(found) < 1000 else f"{found:.0f}"

    return _PLACE.sub(value, " ".join(text.split()))


def anomalies(document: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Everything unusual about a run, one line each; empty for one that went as planned on a quiet host."""
    reason, iterations = document["reason"], document["iterations"]
    lines = [] if reason is None else [f"the run is {document['status']}: {reason['kind']}: {reason['message']}"]
    if reason is None and document["status"] != "completed":
        lines.append(f"the run is {document['status']}")
    if iterations["completed"] < iterations["planned"]:
        lines.append(f"{iterations['completed']} of {iterations['planned']} iterations were measured")
    if iterations["failed"]:
        lines.append(f"{iterations['failed']} iterations failed")
    quiet = document["environment"].get("quietness", {})
    if quiet.get("quiet") is False:
        lines.append(f"the host was not quiet at the start: {quiet['reason']}")
    return [*lines, *document["warnings"], *(f"{entry['issue']}: {entry['evidence']}" for entry in found)]


def expectation(document: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any] | None:
    """The throughput that a scenario should reach here: of its baseline, else the documented default; None of neither.

    `source` says which, and that there is no baseline where there is none; `metrics` are those of the baseline.
    """
    scenario, device = document["scenario"], document["device"]
    path = baseline.path_of(folder or baseline.folder(), scenario, device)
    why = "no baseline"
    if path.exists():
        try:
            stored = baseline.load(path)
        except HarnessError as error:
            why = f"the baseline cannot be read ({error.message})"
        else:
            per_s = iterations_per_s(stored["metrics"])
            same_host = stored["host"]["fingerprint"] == document["environment"].get("fingerprint")
            same_work = stored.get("work_digest") == work_digest(document["config"])
            if per_s and same_host and same_work:
                return {"per_s": per_s, "source": f"baseline {stored['run_id']}", "metrics": stored["metrics"]}
            differs = "another host" if not same_host else "another configuration" if per_s else "no iterations"
            why = f"no baseline of this host and configuration ({stored['run_id']} is of {differs})"
    default = documented().get(f"{scenario}/{device}") if _as_shipped(document) else None
    if default is None:
        return None
    return {"per_s": float(default), "source": f"documented default, {why}", "metrics": None}


def _as_shipped(document: Mapping[str, Any]) -> bool:
    """Whether the scenario ran with its own knobs, whose throughput alone is documented."""
    return all(override.lstrip("+").partition("=")[0] in _HARMLESS for override in document["overrides"])


def documented() -> Mapping[str, float]:
    """Iterations a second that shipped scenarios reach as they are, from `conf/recommend/throughput.yaml`."""
    import yaml

    path = data("conf") / "recommend" / "throughput.yaml"
    found: Mapping[str, float] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return found
