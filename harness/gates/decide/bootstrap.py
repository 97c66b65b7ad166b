"""The interval of an effect by resampling: over fresh pairs of processes, and within them over chunks of rounds.

Resampling only a few pairs gives intervals that are too narrow, so they are widened by the ratio of Student's quantile
to the normal one and by the bias of the resampled variance (Hesterberg, What Teachers Should Know About the Bootstrap,
The American Statistician 69, 2015). The location of the pairs is that of Hodges and Lehmann (1963): with seven pairs
it uses them nearly as well as a mean does and is not moved by one wild pair.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist, fmean, median, stdev

from harness.measure.intervals import student_t

DRAWS = 4000
LEAST_CHUNKS = 8  # of one process: with fewer, even their extremes do not enclose the median with 99 % confidence
_INNER = 100  # resampled medians kept of each pair, from which the outer resampling draws
_MOST_WALSH = 40  # pairs up to which all their averages are taken; beyond, the median of so many is as good


@dataclass(frozen=True)
class Estimate:
    """An effect as a log ratio, with its standard error, and how many pairs and chunks it rests on.

    `counted` is how many of what was resampled there were; `draws` are the resampled effects in order, none for one.
    """

    value: float
    error: float
    groups: int
    chunks: int
    counted: int
    draws: tuple[float, ...]

    def interval(self, level: float) -> tuple[float, float]:
        """The bounds at this two-sided level, infinite where nothing could be resampled.

        They lie around the estimate, never beyond it on the wrong side: a skewed resampling must not exclude its own
        centre.
        """
        if not self.draws:
            return -math.inf, math.inf
        count = len(self.draws)
        outside = max(1, math.floor(count * (1 - level) / 2))
        below = max(0.0, self.value - self.draws[outside - 1])
        above = max(0.0, self.draws[count - outside] - self.value)
        normal = NormalDist().inv_cdf((1 + level) / 2)
        n = self.counted
        widening = student_t(n - 1, level) / normal * math.sqrt(n / (n - 1))
        return self.value - widening * below, self.value + widening * above


def location(values: Sequence[float]) -> float:
    """The median of the averages of all pairs of values, each with itself too (Hodges and Lehmann)."""
    n = len(values)
    if n == 1:
        return values[0]
    if n > _MOST_WALSH:
        return median(values)
    sums = [values[i] + values[j] for i in range(n) for j in range(i, n)]
    return median(sums) / 2


def over_pairs(groups: Sequence[Sequence[float]], draws: int = DRAWS, seed: int = 0) -> Estimate:
    """The effect over pairs of processes, each given by the log ratios of its chunks.

    One pair has no interval: nothing tells its effect from that of its processes.

    Raises:
        ValueError: there is no pair, or one without a chunk.
    """
    if not groups or not all(groups):
        raise ValueError("Parameter `groups` should hold pairs with at least one chunk each.")
    value = location([median(group) for group in groups])
    chunks, n = sum(map(len, groups)), len(groups)
    if n == 1:
        return Estimate(value, math.inf, 1, chunks, 1, ())
    random = Random(seed)
    resampled = [_medians(group, _INNER, random) for group in groups]

    def draw() -> float:
        return location([random.choice(medians) for medians in random.choices(resampled, k=n)])

    return _estimate(value, draw, draws, n, chunks, n)


def over_chunks(chunks: Sequence[float], draws: int = DRAWS, seed: int = 0) -> Estimate:
    """The effect within one process that both arms share: the median over its chunks; a few of them have no interval.

    Raises:
        ValueError: there is no chunk.
    """
    if not chunks:
        raise ValueError("Parameter `chunks` should hold at least one chunk.")
    value, n = median(chunks), len(chunks)
    if n < LEAST_CHUNKS:
        return Estimate(value, math.inf, 1, n, n, ())
    random = Random(seed)
    return _estimate(value, lambda: median(random.choices(chunks, k=n)), draws, 1, n, n)


def _medians(chunks: Sequence[float], count: int, random: Random) -> list[float]:
    return [median(random.choices(chunks, k=len(chunks))) for _ in range(count)]


def _estimate(value: float, draw: Callable[[], float], draws: int, groups: int, chunks: int, counted: int) -> Estimate:
    found = sorted(draw() for _ in range(draws))
    error = stdev(found, fmean(found)) * math.sqrt(counted / (counted - 1))
    return Estimate(value, error, groups, chunks, counted, tuple(found))
