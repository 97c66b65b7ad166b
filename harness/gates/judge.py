"""One rule held against one result document."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.gates.comparison import Comparison
from harness.gates.thresholds import Rule
from harness.measure.instrument import refusal
from harness.measure.stats import POPULATION_N, needed_n

RuleLevel = Literal["pass", "warn", "fail", "inconclusive"]
_COUNTED = ("n", "std")  # statistics that an error common to all values does not move
_LIMITS: tuple[tuple[str, RuleLevel], ...] = (("critical", "fail"), ("warning", "warn"))


@dataclass(frozen=True)
class Finding:
    """How one rule was judged, and on what."""

    rule: Rule
    level: RuleLevel
    message: str
    value: float | None = None
    n: int | None = None
    unit: str = ""
    interval: list[float | None] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The entry of `verdict.rules`."""
        rule = self.rule
        return {
            ("event" if rule.event else "metric"): rule.subject,
            "stat": rule.stat,
            "value": self.value,
            "n": self.n,
            "unit": self.unit,
            "warning": None if rule.warning is None else str(rule.warning),
            "critical": None if rule.critical is None else str(rule.critical),
            "by": rule.by,
            "interval": self.interval,
            "level": self.level,
            "message": self.message,
        }


def judge_rule(rule: Rule, document: Mapping[str, Any], busy: str | None = None) -> Finding:
    """The finding of one rule that applies. `busy` is why nothing may be proved now, such as pressure on the host.

    A metric that a rule names and the run did not record is never a pass: inconclusive by sample, and fail by interval,
    because a proof may not lose what it proves. Where the instrument's own error is known, it widens what is judged:
    a limit within it is straddled, and beyond the share that `measure.error_share_limit` allows nothing is judged.
    """
    if rule.event is not None:
        return _judge_value(rule, float(document["events"].get(rule.event, 0)), None, "")
    metric = document["metrics"].get(rule.metric)
    if metric is None:
        level: RuleLevel = "fail" if rule.by == "interval" else "inconclusive"
        return Finding(rule, level, f"{rule.subject} was not recorded")
    statistics, unit = metric["statistics"], metric["unit"]
    value, n = statistics[rule.stat], statistics["n"]
    if value is None:
        return Finding(rule, "inconclusive", f"{rule.subject} has no {rule.stat} with n={n}", None, n, unit)
    interval = statistics["ci"].get(rule.stat)
    error = _error_of(rule, metric)
    reason = refusal(rule.subject, metric) if error else None
    if rule.by == "interval":
        reason = reason or busy or _unproven(rule.stat, statistics)
    if reason is not None:
        return Finding(rule, "inconclusive", f"{_said(rule, value, unit, n)}: {reason}", value, n, unit, interval)
    if rule.by == "sample":
        return _judge_value(rule, value, n, unit, error)
    low, high = interval
    return _judge_interval(rule, value, n, unit, [low - error, high + error])


def _error_of(rule: Rule, metric: Mapping[str, Any]) -> float:
    """How far the instrument may have moved the statistic; 0 where nothing is known of an error."""
    if rule.stat in _COUNTED or "error" not in metric:
        return 0.0
    times = metric["statistics"]["n"] if rule.stat == "sum" else 1
    return float(metric["error"]["plus_minus"]) * times


def _judge_value(rule: Rule, value: float, n: int | None, unit: str, error: float = 0.0) -> Finding:
    """The level that a single number reaches, none where a limit lies within the instrument's error of it."""
    for name, level in _LIMITS:
        limit: Comparison | None = getattr(rule, name)
        if limit is not None and error and limit.holds_for_interval(value - error, value + error) is None:
            message = f"{_said(rule, value, unit, n)} ± {error:.4g} of the instrument straddles {name} {limit}"
            return Finding(rule, "inconclusive", message, value, n, unit)
        if limit is not None and limit.holds(value):
            return Finding(rule, level, f"{_said(rule, value, unit, n)} reaches {name} {limit}", value, n, unit)
    return Finding(rule, "pass", f"{_said(rule, value, unit, n)} is within its limits", value, n, unit)


def _unproven(stat: str, statistics: Mapping[str, Any]) -> str | None:
    """Why the samples cannot carry a claim about the population, None when they can."""
    n, ci = statistics["n"], statistics["ci"]
    recorded = "min" in ci  # the samples carry intervals of their own, so n counts estimates
    wanted = POPULATION_N.get(stat, 0)
    if not recorded and n < wanted:
        return f"a claim about the population's {stat} needs n >= {wanted}, here n={n}"
    if stat not in ci:
        return f"{stat} has no interval; record one with each sample, or judge by: sample"
    if None in ci[stat]:
        return f"n={n} carries no whole interval of {stat}; it needs n >= {needed_n(stat)}"
    return None


def _judge_interval(rule: Rule, value: float, n: int, unit: str, interval: list[float]) -> Finding:
    """The level that the whole interval reaches."""
    low, high = interval
    said = f"{_said(rule, value, unit, n)} [{low:.6g}, {high:.6g}]"
    for name, level in _LIMITS:
        limit: Comparison | None = getattr(rule, name)
        beyond = False if limit is None else limit.holds_for_interval(low, high)
        if limit is not None and beyond is None:
            message = f"{said} straddles {name} {limit}{_more(value, n, interval, limit, rule.stat)}"
            return Finding(rule, "inconclusive", message, value, n, unit, list(interval))
        if beyond:
            return Finding(rule, level, f"{said} lies wholly beyond {name} {limit}", value, n, unit, list(interval))
    return Finding(rule, "pass", f"{said} is within its limits", value, n, unit, list(interval))


def _more(value: float, n: int, interval: list[float], limit: Comparison, stat: str) -> str:
    """About how many samples would tell, as intervals shrink with the square root of n."""
    distance = abs(value - limit.limit)
    if stat in ("min", "max", "last") or distance == 0:
        return ""
    side = interval[0] if value > limit.limit else interval[1]
    wanted = math.ceil(n * ((value - side) / distance) ** 2)
    return f"; about n={wanted} would tell, if the value stays" if n < wanted < 1e9 else ""


def _said(rule: Rule, value: float, unit: str, n: int | None) -> str:
    counted = "" if n is None else f" (n={n})"
    return f"{rule.subject} {rule.stat} {value:.6g}{' ' + unit if unit else ''}{counted}"
