"""Two things measured side by side, round by round: their ratio or difference with an interval, and the decision.

Rounds are paired because a host changes its speed between minutes, not within a round. The estimate is the median over
the rounds and its interval is the sign test's (order statistics), so neither assumes a distribution.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.measure.intervals import LEVEL, ranks
from harness.measure.stats import percentile

Decision = Literal["holds", "reached", "straddles"]


@dataclass(frozen=True)
class Paired:
    """The median over the rounds, with the bounds of its interval; a bound is None when n rounds cannot carry it."""

    estimate: float
    low: float | None
    high: float | None
    n: int


class Limit(Protocol):
    """What `decide` asks of a limit; `gates.comparison.Comparison` is one."""

    def holds_for_interval(self, low: float | None, high: float | None, /) -> bool | None:
        """Whether the comparison is true of the whole interval, of none of it, or (None) of a part."""


def paired_ratio(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Paired:
    """The median of a/b over the rounds, with its interval.

    Raises:
        ValueError: the rounds do not pair, there is none, or a value is not a positive number.
    """
    _check(a, b, "positive", lambda value: value > 0)
    return median_interval([x / y for x, y in zip(a, b, strict=True)], level)


def paired_difference(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Paired:
    """The median of a - b over the rounds, with its interval.

    Raises:
        ValueError: the rounds do not pair, there is none, or a value is not finite.
    """
    _check(a, b, "finite", lambda value: True)
    return median_interval([x - y for x, y in zip(a, b, strict=True)], level)


def median_interval(values: Sequence[float], level: float = LEVEL) -> Paired:
    """The median of values with the sign test's interval."""
    ordered = sorted(values)
    low, high = ranks(len(ordered), 0.5, level)
    return Paired(
        percentile(ordered, 0.5),
        None if low is None else ordered[low - 1],
        None if high is None else ordered[high - 1],
        len(ordered),
    )


def decide(measured: Paired | tuple[float | None, float | None], limit: Limit) -> Decision:
    """What the interval says about a limit such as "> 1.05".

    `reached`: the comparison is true of the whole interval. `holds`: of none of it, so the thing stays within limits.
    `straddles`: of a part of it, or a bound is missing, so more rounds are needed.
    """
    low, high = (measured.low, measured.high) if isinstance(measured, Paired) else measured
    beyond = limit.holds_for_interval(low, high)
    if beyond is None:
        return "straddles"
    return "reached" if beyond else "holds"


def _check(a: Sequence[float], b: Sequence[float], rule: str, passes: Callable[[float], bool]) -> None:
    if len(a) != len(b):
        raise ValueError(f"Parameters `a` and `b` should have as many rounds. Found {len(a)} and {len(b)}.")
    if not a:
        raise ValueError("Parameters `a` and `b` should hold at least one round. Found none.")
    for name, values in (("a", a), ("b", b)):
        for i, value in enumerate(values):
            if not math.isfinite(value) or not passes(value):
                raise ValueError(f"Parameter `{name}` should hold {rule} numbers. Found `{name}[{i}] = {value}`.")
