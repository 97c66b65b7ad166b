"""How other tools judge the same two sets of times; each says 1 for slower, -1 for faster, 0 for no alarm.

They are here to be measured beside ours: on blocks timed one after the other they call 15 to 36 % of unchanged work
slower or miss 40 to 79 % of slowdowns of 5 %. Their rules: a fixed 10 % on the mean; Welch's t at 1 %; Mann and
Whitney's U at 1 %; and that of asv, U at 0.2 % together with a ratio of 1.1 (asv/_stats.py, asv/commands/compare.py).
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean, median, variance

from harness.measure.intervals import student_t

Values = Sequence[float]
_NAIVE = 0.10
_ALPHA = 0.01
_ASV_ALPHA, _ASV_RATIO = 0.002, 1.1


def naive(a: Values, b: Values) -> int:
    """The mean changed by more than a tenth."""
    ratio = fmean(b) / fmean(a)
    return 1 if ratio > 1 + _NAIVE else -1 if ratio < 1 - _NAIVE else 0


def welch(a: Values, b: Values) -> int:
    """Welch's t-test on the means, two-sided at 1 %; the degrees of freedom are rounded down."""
    in_a, in_b = variance(a) / len(a), variance(b) / len(b)
    if in_a + in_b == 0:
        return _sign(fmean(b) - fmean(a))
    t = (fmean(b) - fmean(a)) / math.sqrt(in_a + in_b)
    freedom = (in_a + in_b) ** 2 / (in_a**2 / (len(a) - 1) + in_b**2 / (len(b) - 1))
    return _sign(t) if abs(t) > student_t(max(1, math.floor(freedom)), 1 - _ALPHA) else 0


def mann_whitney(a: Values, b: Values) -> int:
    """Mann and Whitney's test of the ranks, two-sided at 1 %."""
    return _by_ranks(a, b, _ALPHA)


def asv(a: Values, b: Values) -> int:
    """The rule of asv: the ranks at 0.2 %, and the medians differ by a tenth."""
    side = _by_ranks(a, b, _ASV_ALPHA)
    ratio = median(b) / median(a)
    return side if max(ratio, 1 / ratio) > _ASV_RATIO else 0


PEERS: dict[str, Callable[[Values, Values], int]] = {
    "naive": naive,
    "welch": welch,
    "mann_whitney": mann_whitney,
    "asv": asv,
}


def rank_p(a: Values, b: Values) -> tuple[float, float]:
    """Mann and Whitney's z (positive where B ranks higher) and its two-sided p-value.

    The normal approximation with the corrections for ties and continuity; exact enough from some 8 values an arm on.
    """
    n, m = len(a), len(b)
    marked = sorted([(value, 0) for value in a] + [(value, 1) for value in b])
    rank_sum, ties, at = 0.0, 0, 0
    while at < n + m:
        end = at
        while end < n + m and marked[end][0] == marked[at][0]:
            end += 1
        count = end - at
        rank_sum += (at + end + 1) / 2 * sum(arm for _, arm in marked[at:end])
        ties += count**3 - count
        at = end
    total = n + m
    spread = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if spread <= 0:
        return 0.0, 1.0
    distance = rank_sum - m * (m + 1) / 2 - n * m / 2
    z = math.copysign(max(0.0, abs(distance) - 0.5), distance) / math.sqrt(spread)
    return z, 2 * (1 - NormalDist().cdf(abs(z)))


def _by_ranks(a: Values, b: Values, alpha: float) -> int:
    z, p = rank_p(a, b)
    return _sign(z) if p < alpha else 0


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
