"""The statistics of one metric, each with the confidence interval that its number of samples can carry.

Percentiles are linear interpolations between the two nearest samples (type 7 of Hyndman and Fan, 1996). Their intervals
are distribution-free (`intervals.ranks`), so a bound is null where n cannot carry it. The mean's is Student's t.
Where each sample came with an interval of its own (a paired ratio, say), that interval stands for `min`, `max` and
`last`, and it replaces the bounds of the other statistics where the number of samples is too small.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.measure.intervals import LEVEL, POPULATION_N, needed, ranks, student_t

__all__ = ["LEVEL", "POPULATION_N", "QUANTILES", "STATISTICS", "needed_n", "percentile", "summarize"]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
STATISTICS = ("n", "mean", "std", "min", "max", "sum", "last", *QUANTILES)
UNSTABLE_FROM = 0.10  # std over mean, as pyperf has it
ADVICE = {
    "unstable": "try a larger measure.iterations or measure.warmup, and look for other work on this host",
    "outliers": "if they come first raise measure.warmup, else quieten the host or pin the run with affinity",
}

Bounds = list[float | None]


def summarize(
    values: Sequence[float],
    lows: Sequence[float | None] | None = None,
    highs: Sequence[float | None] | None = None,
    *,
    kind: str = "histogram",
) -> dict[str, Any]:
    """All statistics of one metric's samples, in the shape that the result document stores.

    `lows` and `highs` are the bounds of the samples' own intervals. Only a histogram (repeated measurements of one
    thing) can be unstable: a counter or a gauge varies because what it counts does.

    Raises:
        ValueError: there are no values, or one of them is not finite.
    """
    if not values:
        raise ValueError("Parameter `values` should hold at least one sample. Found none.")
    for i, value in enumerate(values):
        if not math.isfinite(value):
            raise ValueError(f"Parameter `values` should be finite numbers. Found `values[{i}] = {value}`.")
    ordered = sorted(values)
    mean, std = _moments(ordered)
    found: dict[str, Any] = {
        "n": len(ordered),
        "mean": mean,
        "std": std,
        "min": ordered[0],
        "max": ordered[-1],
        "sum": _finite(lambda: math.fsum(ordered)),
        "last": values[-1],
        **{name: percentile(ordered, q) for name, q in QUANTILES.items()},
    }
    found["ci"] = _intervals(ordered, mean, std)
    if lows and highs and not any(bound is None for bound in (*lows, *highs)):
        _use_recorded(found["ci"], values, [float(low or 0.0) for low in lows], [float(high or 0.0) for high in highs])
    found["outliers"] = _outliers(ordered)
    found["unstable"], found["warnings"] = _stability(found) if kind == "histogram" else (False, [])
    return found


def percentile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile of already sorted values, between the two nearest ones."""
    at = (len(ordered) - 1) * q
    below = math.floor(at)
    share = at - below
    if share == 0:
        return ordered[below]
    low, high = ordered[below], ordered[below + 1]
    between = low + share * (high - low)
    return min(max(between, low), high) if math.isfinite(between) else (1 - share) * low + share * high


def needed_n(stat: str) -> int | None:
    """How many samples an interval of this statistic needs, None where more samples would not give it one."""
    if stat in QUANTILES:
        return needed(QUANTILES[stat])
    return 2 if stat == "mean" else None


def _finite(compute: Callable[[], float]) -> float | None:
    """The number, None where it is beyond what a double can hold."""
    try:
        value = compute()
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _moments(ordered: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation from exact sums; scaled where squares would leave the range of a double."""
    n = len(ordered)
    peak = max(-ordered[0], ordered[-1])
    scale = 1.0 if peak == 0 or 1e-150 < peak < 1e150 else peak
    scaled = ordered if scale == 1.0 else [value / scale for value in ordered]
    centre = math.fsum(scaled) / n
    mean = min(max(centre * scale, ordered[0]), ordered[-1])
    if n < 2:
        return mean, None
    variance = math.fsum((value - centre) ** 2 for value in scaled) / (n - 1)
    return mean, _finite(lambda: math.sqrt(variance) * scale)


def _intervals(ordered: Sequence[float], mean: float, std: float | None) -> dict[str, Bounds]:
    n = len(ordered)
    found: dict[str, Bounds] = {"mean": [None, None]}
    if std is not None:
        half = student_t(n - 1) * std / math.sqrt(n)
        found["mean"] = [_finite(lambda: mean - half), _finite(lambda: mean + half)]
    for name, q in QUANTILES.items():
        found[name] = [None if rank is None else ordered[rank - 1] for rank in ranks(n, q)]
    return found


def _use_recorded(ci: dict[str, Bounds], values: Sequence[float], lows: list[float], highs: list[float]) -> None:
    """Adds the samples' own intervals: of the extremes and the last as they are, of the rest where n carries none.

    The percentile of all lower bounds lies under the percentile of all true values whenever each bound lies under its
    own true value, and likewise above, so the pair encloses the percentile.
    """
    smallest = min(range(len(values)), key=values.__getitem__)
    largest = max(range(len(values)), key=values.__getitem__)
    for name, at in (("min", smallest), ("max", largest), ("last", len(values) - 1)):
        ci[name] = [lows[at], highs[at]]
    for name, q in {"mean": 0.5, **QUANTILES}.items():
        if None in ci[name]:
            ci[name] = [percentile(sorted(lows), q), percentile(sorted(highs), q)]


def _outliers(ordered: Sequence[float]) -> dict[str, int]:
    """Counts beyond Tukey's fences (Exploratory Data Analysis, 1977): mild from 1.5, severe from 3 quartile ranges."""
    if len(ordered) < 4:
        return {"mild": 0, "severe": 0}
    low, high = percentile(ordered, 0.25), percentile(ordered, 0.75)
    width = high - low
    beyond = [sum(not low - k * width <= value <= high + k * width for value in ordered) for k in (1.5, 3.0)]
    return {"mild": beyond[0] - beyond[1], "severe": beyond[1]}


def _stability(found: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Whether the samples scatter too much to be trusted, and what to try then."""
    mean, std = found["mean"], found["std"]
    if std is None or mean == 0 or std < UNSTABLE_FROM * abs(mean):
        return False, []
    warnings = [f"the standard deviation is {100 * std / abs(mean):.0f} % of the mean; {ADVICE['unstable']}"]
    if found["outliers"]["severe"]:
        warnings.append(f"{found['outliers']['severe']} of {found['n']} samples are outliers; {ADVICE['outliers']}")
    return True, warnings
