"""Threshold rules: what a statistic or an event count may not reach, read from the group `threshold`."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from harness.errors import ConfigError, Problem
from harness.gates.comparison import Comparison, parse
from harness.measure.stats import STATISTICS

By = Literal["sample", "interval"]
_KEYS = ("metric", "event", "stat", "warning", "critical", "by", "when")


@dataclass(frozen=True)
class Rule:
    """One limit on one statistic of a metric, or on how often an event happened.

    `by: sample` judges the statistic of the samples themselves. `by: interval` is for proofs: a level is reached only
    when the whole 95 % interval lies beyond it. `when` says under which configuration the rule applies at all.
    """

    metric: str | None = None
    event: str | None = None
    stat: str = "count"
    warning: Comparison | None = None
    critical: Comparison | None = None
    by: By = "sample"
    when: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The name of the metric or event."""
        return self.metric or self.event or ""


def load_rules(threshold: Mapping[str, Any] | None, known: Container[str] | None = None) -> list[Rule]:
    """The rules of a composed `threshold` group; none without the group.

    `known` are the declared metrics: a rule on another name would never be judged.

    Raises:
        ConfigError: one or more rules are wrong; every problem is listed.
    """
    problems: list[Problem] = []
    rules = []
    for i, node in enumerate((threshold or {}).get("rules") or []):
        found = _Reader(f"threshold.rules.{i}", problems).read(node)
        if found is not None and known is not None and found.metric is not None and found.metric not in known:
            problems.append(_undeclared(f"threshold.rules.{i}.metric", found.metric, known))
        if found is not None:
            rules.append(found)
    if problems:
        raise ConfigError(problems)
    return rules


def _undeclared(place: str, name: str, known: Container[str]) -> Problem:
    near = (
        get_close_matches(name, list(known), 1) if isinstance(known, Mapping | set | frozenset | list | tuple) else []
    )
    hint = f"did you mean {near[0]!r}?" if near else "declare it under `metrics:`"
    return Problem(place, f"no metric is called {name!r}", hint)


@dataclass
class _Reader:
    """Reads one rule, noting every problem at its place."""

    place: str
    problems: list[Problem]

    def read(self, node: object) -> Rule | None:
        before = len(self.problems)
        if not isinstance(node, Mapping):
            self._note("", f"a rule should be a mapping, found {node!r}")
            return None
        for key in node:
            if key not in _KEYS:
                near = get_close_matches(str(key), _KEYS, 1)
                self._note(
                    str(key),
                    "unknown key",
                    f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(_KEYS)}",
                )
        rule = Rule(
            metric=self._name(node, "metric"),
            event=self._name(node, "event"),
            stat=self._stat(node),
            warning=self._limit(node, "warning"),
            critical=self._limit(node, "critical"),
            by="interval" if self._choice(node, "by", ("sample", "interval"), "sample") == "interval" else "sample",
            when=self._when(node),
        )
        if (rule.metric is None) == (rule.event is None):
            self._note("", "a rule names either a metric or an event")
        if node.get("warning") is None and node.get("critical") is None:
            self._note("", "a rule needs `warning`, `critical` or both", 'for example critical: "> 500"')
        if rule.event is not None and rule.by == "interval":
            self._note("by", "a count of events has no interval", "leave out `by`")
        return rule if len(self.problems) == before else None

    def _note(self, key: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(f"{self.place}.{key}" if key else self.place, message, hint))

    def _name(self, node: Mapping[str, Any], key: str) -> str | None:
        name = node.get(key)
        if name is None or (isinstance(name, str) and name):
            return name
        self._note(key, f"should be a name, found {name!r}")
        return None

    def _limit(self, node: Mapping[str, Any], key: str) -> Comparison | None:
        if node.get(key) is None:
            return None
        try:
            return parse(node[key])
        except ValueError as error:
            self._note(key, str(error))
            return None

    def _choice(self, node: Mapping[str, Any], key: str, choices: tuple[str, ...], default: str) -> str:
        value = node.get(key, default)
        if value in choices:
            return str(value)
        near = get_close_matches(str(value), choices, 1)
        self._note(
            key, f"should be one of {', '.join(choices)}, found {value!r}", f"did you mean {near[0]!r}?" if near else ""
        )
        return default

    def _stat(self, node: Mapping[str, Any]) -> str:
        if node.get("event") is not None:
            return self._choice(node, "stat", ("count",), "count")
        if node.get("stat") is None:
            self._note("stat", f"a rule on a metric needs `stat`, one of {', '.join(STATISTICS)}")
            return "mean"
        return self._choice(node, "stat", STATISTICS, "mean")

    def _when(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        when = node.get("when") or {}
        if isinstance(when, Mapping):
            return dict(when)
        self._note("when", f"should map config paths to values, found {when!r}", "for example when: {device: cuda}")
        return {}
