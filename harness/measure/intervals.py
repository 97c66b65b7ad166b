"""Confidence bounds that assume little: binomial order statistics for quantiles, Student's t for means."""

import math
from functools import lru_cache

LEVEL = 0.95

# How many samples a claim about the population needs at 99 % confidence: with one sample beyond the limit allowed, the
# smallest n for which P(Binomial(n, 1 - q) <= 1) <= 0.01.
POPULATION_N = {"p90": 64, "p95": 130, "p99": 662, "p99.9": 6636}

_CLOSED_FORM_UP_TO = 200  # degrees of freedom; beyond, the expansion is exact to 1e-10


def _lower_tail(k: int, n: int, q: float) -> float:
    """P(B <= k) of a binomial count, summed downward from k until the terms no longer count."""
    if k < 0:
        return 0.0
    term = _mass(k, n, q)
    total, odds = term, (1 - q) / q
    while k > 0 and term > total * 1e-17:
        term *= k / (n - k + 1) * odds
        total += term
        k -= 1
    return total


def _mass(k: int, n: int, q: float) -> float:
    """P(B = k) of a binomial count."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(q) + (n - k) * math.log1p(-q))


@lru_cache(maxsize=256)
def lower_rank(n: int, q: float, level: float = LEVEL) -> int | None:
    """The 1-based rank of the sample that bounds the q-quantile from below, None when n samples cannot carry it.

    The largest rank r with P(Binomial(n, q) < r) <= (1 - level) / 2, for any distribution (David and Nagaraja, Order
    Statistics, 3rd ed., 7.1). The upper rank is the mirror image: n + 1 - lower_rank(n, 1 - q).
    """
    tail = (1 - level) / 2
    spread = math.sqrt(n * q * (1 - q))
    count = max(-1, math.floor(n * q - 2.5 * spread) - 2)
    below = _lower_tail(count, n, q)
    while below > tail:
        below -= _mass(count, n, q)
        count -= 1
    while count + 1 < n:
        larger = below + _mass(count + 1, n, q)
        if larger > tail:
            break
        below, count = larger, count + 1
    return count + 1 if count >= 0 else None


def ranks(n: int, q: float, level: float = LEVEL) -> tuple[int | None, int | None]:
    """The 1-based ranks of the two samples that enclose the q-quantile with at least `level` confidence."""
    upper = lower_rank(n, 1 - q, level)
    return lower_rank(n, q, level), None if upper is None else n + 1 - upper


def needed(q: float, level: float = LEVEL) -> int:
    """How many samples carry both bounds of the q-quantile: 6, 36, 72, 368 for p50, p90, p95, p99 at 95 %."""
    return math.ceil(math.log((1 - level) / 2) / math.log(max(q, 1 - q)) - 1e-9)


def student_t(freedom: int, level: float = LEVEL) -> float:
    """The two-sided quantile of Student's t: the half-width of a mean's interval in standard errors.

    Up to 200 degrees of freedom the closed form of the distribution (Abramowitz and Stegun 26.7.3, 26.7.4) is inverted
    by bisection; beyond, the asymptotic expansion 26.7.5 in the normal quantile.
    """
    if freedom < 1:
        raise ValueError(f"Parameter `freedom` should be at least 1. Found `freedom = {freedom}`.")
    if freedom > _CLOSED_FORM_UP_TO:
        return _expanded_t(freedom, level)
    low, high = 0.0, 1.0
    while _within(high, freedom) < level:
        high *= 2
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if _within(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """P(-t <= T <= t) in closed form for whole degrees of freedom."""
    theta = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(odd, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    return 2 / math.pi * (theta + sine * total) if odd else sine * total


def _expanded_t(freedom: int, level: float) -> float:
    from statistics import NormalDist

    x = NormalDist().inv_cdf((1 + level) / 2)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))
