"""What the times of one arm say about themselves: outliers by class, a slow beginning, a drift over the whole.

None of this changes a verdict, which is by pairs; it says what to try when the verdict is undecided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median

from harness.measure.stats import percentile

_SIGNIFICANCE = 0.01
_LEAST = 10  # values, below which neither a beginning nor a drift can be told
_SLOW_FROM = 0.02  # a beginning is called slow from 2 % on,
_LEAST_SLOW = 3  # and from so many values on: one or two are outliers like any other
_MOST_KENDALL = 400  # values that enter the test for drift: it compares each with each


@dataclass(frozen=True)
class Drift:
    """A change of speed over the series: the share from its beginning to its end, and the test's p-value."""

    share: float
    p: float

    @property
    def is_real(self) -> bool:
        """Whether chance would give such an order in less than one of a hundred series."""
        return self.p < _SIGNIFICANCE


def outliers(values: Sequence[float]) -> dict[str, int]:
    """How many values lie beyond Tukey's fences (1977): mild from 1.5 quartile ranges on, severe from 3."""
    counts = {"low_severe": 0, "low_mild": 0, "high_mild": 0, "high_severe": 0}
    if len(values) < 4:
        return counts
    ordered = sorted(values)
    low, high = percentile(ordered, 0.25), percentile(ordered, 0.75)
    width = high - low
    for value in values:
        if value < low - 1.5 * width:
            counts["low_severe" if value < low - 3 * width else "low_mild"] += 1
        elif value > high + 1.5 * width:
            counts["high_severe" if value > high + 3 * width else "high_mild"] += 1
    return counts


def slow_start(values: Sequence[float]) -> int:
    """How many values at the beginning are slower than the rest, 0 without a slow beginning.

    The cut is where the standard error of the mean of what remains is least (White's MSER, Simulation 69, 1997), looked
    for in the first half; it counts only where the part cut off is slower by 2 % and more.
    """
    n = len(values)
    if n < _LEAST:
        return 0
    best, cut = math.inf, 0
    for first in range(n // 2 + 1):
        rest = values[first:]
        centre = fmean(rest)
        error = sum((value - centre) ** 2 for value in rest) / len(rest) ** 2
        if error < best:
            best, cut = error, first
    if cut < _LEAST_SLOW or median(values[:cut]) <= (1 + _SLOW_FROM) * median(values[cut:]):
        return 0
    return cut


def drift(values: Sequence[float]) -> Drift:
    """The trend over the series: Theil and Sen's slope, and Mann and Kendall's test of it (no distribution assumed)."""
    step = max(1, -(-len(values) // _MOST_KENDALL))
    kept = values[::step]
    n = len(kept)
    if n < _LEAST:
        return Drift(0.0, 1.0)
    score, slopes = 0, []
    for i in range(n):
        for j in range(i + 1, n):
            difference = kept[j] - kept[i]
            score += (difference > 0) - (difference < 0)
            slopes.append(difference / (j - i))
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    z = max(0.0, abs(score) - 1) / deviation
    return Drift(median(slopes) * (n - 1) / median(kept), 2 * (1 - NormalDist().cdf(z)))
