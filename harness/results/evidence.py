"""What stored runs can carry: for one metric of two arms, how far apart they are, how surely, and by which evidence.

Runs that were not measured beside one another differ although nothing changed: by 21 % from one minute to the next on
a quiet virtual host, and plain comparisons of stored times raised 31 to 46 % false alarms whatever the test
(386 trials each, 2 vCPU, 0.8 ms of work). So times are judged only by what takes the host out of them:

    runs      at least five runs on each side, each counting once; the host is then part of the spread. Each is divided
              by its canary where all have one; `judgement` is stricter where one side came wholly before the other
    canary    a reference workload, timed between the iterations of both runs, by which each is divided
    samples   the run's own samples, for what does not depend on the host's speed (sizes, shares, scores)
    exact     every sample of a side is the same, as in counts
    none      otherwise: the effect is shown, and nothing is claimed
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from harness.measure.intervals import POPULATION_N
from harness.measure.shift import Shift, shift
from harness.measure.stats import percentile
from harness.results.arms import Arm
from harness.results.baseline import CANARY

Basis = Literal["runs", "canary", "samples", "exact", "none"]

RUNS = 5  # of a side, the fewest whose interval has bounds at 99 %
CHUNK = 5  # iterations whose fastest one stands for them: what disturbs a host only ever adds time
MOST_CHUNKS = 60  # of a side; more would sharpen the figure beyond what one process can say
_TIME_UNITS = {"ns", "us", "µs", "ms", "s", "min", "h", "J", "W"}


class Evidence(NamedTuple):
    """The relative change as a logarithm, or the plain difference where no logarithm exists; and what it rests on."""

    basis: Basis
    shift: Shift
    relative: bool
    why_not: str | None = None  # why nothing may be claimed, where basis is "none"
    normalised: bool = False  # whether every run was divided by its canary

    def percent(self, value: float | None) -> float | None:
        """A bound or the estimate in percent of the base, None where it is no relative change."""
        return 100 * math.expm1(min(value, 700.0)) if self.relative and value is not None else None


def is_time(unit: str) -> bool:
    """Whether a quantity of this unit depends on how fast the host happens to be: times, rates, energy."""
    return unit in _TIME_UNITS or unit.endswith("/s") or "/s " in unit


def weigh(base: Arm, candidate: Arm, name: str, stat: str) -> Evidence:
    """The best evidence on a metric that both arms hold; every value of `stat` is a number."""
    ours, theirs = base.metric(name), candidate.metric(name)
    values = [[metric["statistics"][stat] for metric in side] for side in (ours, theirs)]
    short = _too_few(stat, [*ours, *theirs])
    exact = _is_exact(ours) and _is_exact(theirs)
    if exact and not is_time(ours[0]["unit"]):
        return _evidence("exact", [values[0][:1], values[1][:1]])
    if short is not None:
        return _evidence("none", values, short)
    if min(map(len, values)) >= RUNS:
        each = [_run_values(arm, name, stat) for arm in (base, candidate)]
        if is_time(ours[0]["unit"]) and all(each):
            return _evidence("runs", each)._replace(normalised=True)
        return _evidence("runs", values)
    if stat not in ("p50", "mean"):
        return _evidence("none", values, f"a {stat} needs at least {RUNS} runs on each side")
    if not is_time(ours[0]["unit"]):
        return _evidence("samples", [_pooled(ours), _pooled(theirs)])
    normal = [_normalised(arm, name) for arm in (base, candidate)]
    if all(normal):
        return _evidence("canary", normal)._replace(normalised=True)
    return _evidence(
        "none",
        values,
        f"times of runs that were not measured side by side compare only with at least {RUNS} runs on each side or a "
        "canary; measure side by side with `python -m harness ab`",
    )


def _evidence(basis: Basis, sides: Sequence[Sequence[float]], why_not: str | None = None) -> Evidence:
    relative = all(value > 0 for side in sides for value in side)
    if relative:
        sides = [[math.log(value) for value in side] for side in sides]
    found = shift(sides[0], sides[1])
    if basis == "exact":
        found = Shift(found.estimate, found.estimate, found.estimate)
    return Evidence(basis, found, relative, why_not)


def _too_few(stat: str, metrics: Sequence[Mapping[str, Any]]) -> str | None:
    """Why the samples cannot carry a claim about the population's percentile, None when they can."""
    wanted, n = POPULATION_N.get(stat, 0), min(metric["statistics"]["n"] for metric in metrics)
    return f"a claim about the population's {stat} needs n >= {wanted}, here n={n}" if n < wanted else None


def _is_exact(metrics: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every sample of every run is the same number."""
    found = {metric["statistics"][end] for metric in metrics for end in ("min", "max")}
    return len(found) == 1


def _pooled(metrics: Sequence[Mapping[str, Any]]) -> list[float]:
    """The samples of a side, thinned evenly to what an interval is cut from in a blink."""
    return _thinned([value for metric in metrics for value in metric["samples"]])


def _thinned(values: Sequence[float]) -> list[float]:
    total = len(values)
    if total <= MOST_CHUNKS:
        return list(values)
    return [values[i * total // MOST_CHUNKS] for i in range(MOST_CHUNKS)]


def _normalised(arm: Arm, name: str) -> list[float]:
    """The metric over the canary, chunk by chunk; empty where a run has no canary of the same iterations."""
    found = []
    for document in arm.documents:
        metric, canary = document["metrics"].get(name), _canary(document)
        if metric is None or canary is None or name == CANARY:
            return []
        own, reference = metric["samples"], canary["samples"]
        if len(own) != len(reference) or len(own) < RUNS * CHUNK or min(*own, *reference) <= 0:
            return []
        fastest = min if not metric["unit"].endswith("/s") else max
        size = max(CHUNK, math.ceil(len(own) / MOST_CHUNKS))
        starts = range(0, len(own) - size + 1, size)
        found += [_over(fastest(own[at : at + size]), min(reference[at : at + size]), fastest is max) for at in starts]
    return found


def _run_values(arm: Arm, name: str, stat: str) -> list[float]:
    """The statistic of each run over its canary; empty where a run has none."""
    found = []
    for document in arm.documents:
        metric, canary = document["metrics"].get(name), _canary(document)
        if metric is None:
            continue
        if canary is None or name == CANARY or canary["statistics"]["p50"] <= 0:
            return []
        found.append(_over(metric["statistics"][stat], canary["statistics"]["p50"], metric["unit"].endswith("/s")))
    return found


def _over(value: float, canary: float, is_rate: bool) -> float:
    """What the value would be on a host where the canary takes one unit of time."""
    return value * canary if is_rate else value / canary


def _canary(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = document["canary"] if "canary" in document else document["metrics"].get(CANARY)
    return found if isinstance(found, Mapping) else None


def centre(arm: Arm, name: str, stat: str) -> float | None:
    """The statistic of the arm: of its run, or the median over its runs; None where a run has none."""
    values = [metric["statistics"][stat] for metric in arm.metric(name)]
    return None if not values or None in values else percentile(sorted(values), 0.5)
