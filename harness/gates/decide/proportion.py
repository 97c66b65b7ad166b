"""The bounds of a rate that was counted: so many alarms in so many trials."""

import math
from collections.abc import Callable


def clopper_pearson(hits: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, Biometrika 26, 1934), whose two tails hold `1 - level`.

    At no hits, or only hits, the one bound that is not trivial gets the whole tail: it then is the one-sided bound.

    Raises:
        ValueError: the counts are no counts.
    """
    if not 0 <= hits <= trials or trials < 1:
        raise ValueError(f"Parameters `hits` and `trials` should be counts. Found {hits} of {trials}.")
    one_sided = hits in (0, trials)
    tail = (1 - level) if one_sided else (1 - level) / 2
    low = 0.0 if hits == 0 else _solve(lambda p: 1 - _at_most(hits - 1, trials, p) - tail)
    high = 1.0 if hits == trials else _solve(lambda p: tail - _at_most(hits, trials, p))
    return low, high


def _solve(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def _at_most(hits: int, trials: int, p: float) -> float:
    """P(X <= hits) of a binomial count."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return 1.0 if hits >= trials else 0.0
    odds, term = p / (1 - p), trials * math.log1p(-p)
    logs = [term]
    for k in range(hits):
        term += math.log(odds * (trials - k) / (k + 1))
        logs.append(term)
    peak = max(logs)
    return min(1.0, math.exp(peak) * math.fsum(math.exp(each - peak) for each in logs))
