"""How far one group of measurements lies from another that was not measured beside it, with an interval.

The estimate is that of Hodges and Lehmann (1963): the median of all differences between the groups. Its interval is
cut from the same differences by the ranks of the Mann-Whitney statistic, so it assumes no distribution; it holds for a
change that moves the whole group. Groups too small for the level have no bounds.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from harness.measure.stats import percentile

LEVEL = 0.99
_EXACT_UP_TO = 400  # products of the group sizes; beyond, the normal approximation is within one rank


class Shift(NamedTuple):
    """What has to be added to the first group to come to the second; the bounds are None where n cannot carry them."""

    estimate: float
    low: float | None
    high: float | None


def shift(before: Sequence[float], after: Sequence[float], level: float = LEVEL) -> Shift:
    """The shift from `before` to `after`.

    Raises:
        ValueError: a group is empty.
    """
    if not before or not after:
        raise ValueError(f"Both groups should hold a value. Found {len(before)} and {len(after)}.")
    differences = sorted(y - x for x in before for y in after)
    rank = lower_rank(len(before), len(after), level)
    estimate = percentile(differences, 0.5)
    if rank is None:
        return Shift(estimate, None, None)
    return Shift(estimate, differences[rank - 1], differences[len(differences) - rank])


@lru_cache(maxsize=256)
def lower_rank(n: int, m: int, level: float = LEVEL) -> int | None:
    """The 1-based rank of the difference that bounds the shift from below, None when n and m cannot carry it.

    The largest r with P(U < r) <= (1 - level) / 2, where U is the Mann-Whitney statistic of equal groups.
    """
    tail = (1 - level) / 2
    if n * m > _EXACT_UP_TO:
        rank = math.floor(n * m / 2 - _normal(tail) * math.sqrt(n * m * (n + m + 1) / 12))
        return rank if rank >= 1 else None
    counts = _arrangements(n, m)
    total, below, rank = sum(counts), 0, 0
    while (below + counts[rank]) / total <= tail:
        below += counts[rank]
        rank += 1
    return rank or None


def _arrangements(n: int, m: int) -> list[int]:
    """In how many of the orders of n and m things U is 0, 1, …, n·m (Mann and Whitney 1947, by Gauss's product)."""
    counts = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for at in range(n * m, m + i - 1, -1):
            counts[at] -= counts[at - m - i]
        for at in range(i, n * m + 1):
            counts[at] += counts[at - i]
    return counts


def _normal(tail: float) -> float:
    """How many standard deviations leave `tail` of a normal distribution above them."""
    low, high = 0.0, 40.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if math.erfc(middle / math.sqrt(2)) / 2 > tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2
