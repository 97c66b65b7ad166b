"""Two things measured side by side, round by round: their ratio with an interval.

Rounds are paired because a host changes its speed between minutes, not within a round. The estimate is the median over
the rounds and its interval is the sign test's (order statistics), so neither assumes a distribution.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.measure.intervals import LEVEL, ranks
from harness.measure.stats import percentile


@dataclass(frozen=True)
class Paired:
    """The median over the rounds, with the bounds of its interval; a bound is None when n rounds cannot carry it."""

    estimate: float
    low: float | None
    high: float | None
    n: int


def paired_ratio(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Paired:
    """The median of a/b over the rounds, with its interval.

    Raises:
        ValueError: the rounds do not pair, there is none, or a value is not a positive number.
    """
    _check(a, b)
    return median_interval([x / y for x, y in zip(a, b, strict=True)], level)


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


def _check(a: Sequence[float], b: Sequence[float]) -> None:
    if len(a) != len(b):
        raise ValueError(f"Parameters `a` and `b` should have as many rounds. Found {len(a)} and {len(b)}.")
    if not a:
        raise ValueError("Parameters `a` and `b` should hold at least one round. Found none.")
    for name, values in (("a", a), ("b", b)):
        for i, value in enumerate(values):
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"Parameter `{name}` should hold positive numbers. Found `{name}[{i}] = {value}`.")
