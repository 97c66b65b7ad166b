"""Whether a metric changed somewhere in its history: change points over at least five stored runs, else no answer.

Each run counts once. The place of a change is found by an exact search for the best constant pieces (Killick, Fearnhead
and Eckley, JASA 107, 2012, as the library ruptures has it, extra `stats`). Whether it is more than chance is asked of
the same search on the runs in random order (Matteson and James, JASA 109, 2014): testing the two sides as if the place
had been known beforehand would find a change in almost any history.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from statistics import fmean, median

from harness.gates.decide.decision import Verdict

LEAST_RUNS = 5
SIGNIFICANCE = 0.01
_PERMUTATIONS = 999
_LEAST_PIECE = 2  # runs: a single one is an outlier


@dataclass(frozen=True)
class Change:
    """What a history says. `at` is the index of the first run after its last change, None without one.

    `effect` is by how much the runs after it are worse, as a share; `p` how often chance does as much.
    """

    verdict: Verdict
    runs: int
    at: int | None
    effect: float | None
    p: float | None
    reason: str


def last_change(
    values: Sequence[float], tolerance: float = 0.05, *, higher_is_better: bool = False, seed: int = 0
) -> Change:
    """The last change in values of one metric, one a run, oldest first; best divided by their runs' canaries.

    Without a canary a change may be the host's: say so beside the answer.

    Raises:
        ValueError: a value is not positive.
    """
    n = len(values)
    for i, value in enumerate(values):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"Parameter `values` should be positive numbers. Found `values[{i}] = {value}`.")
    if n < LEAST_RUNS:
        return Change("undecided", n, None, None, None, f"{n} runs say nothing of a change; {LEAST_RUNS} may")
    sign = -1.0 if higher_is_better else 1.0
    logs = [sign * math.log(value) for value in values]
    try:
        cuts = _cuts(logs)
    except ImportError:
        return Change("undecided", n, None, None, None, "the library ruptures is missing: install the extra `stats`")
    if not cuts:
        return Change("same", n, None, None, None, f"no change in {n} runs")
    at, start = cuts[-1], cuts[-2] if len(cuts) > 1 else 0
    effect = median(logs[at:]) - median(logs[start:at])
    p = _chance(logs[start:], seed)
    verdict, reason = _judge(effect, p, tolerance)
    return Change(verdict, n, at, math.expm1(effect), p, reason)


def _judge(effect: float, p: float, tolerance: float) -> tuple[Verdict, str]:
    if p >= SIGNIFICANCE:
        return "undecided", "something may have changed, and chance does as much: more runs would tell"
    half = math.log1p(tolerance / 2)
    if abs(effect) <= half:
        return "same", "there is a change, and it is smaller than half the tolerance"
    return ("slower" if effect > 0 else "faster"), "the runs after the change differ by more than half the tolerance"


def _cuts(logs: Sequence[float]) -> list[int]:
    """The first index of each piece after the first."""
    import numpy
    from ruptures import KernelCPD

    noise = _variance_between_neighbours(logs)
    if noise == 0:
        noise = 1e-12  # counts that repeat exactly: any step is a change
    # The penalty of Schwarz for a mean and a place; below it a step is cheaper than the noise that it explains.
    penalty = 3 * noise * math.log(len(logs))
    found = KernelCPD(kernel="linear", min_size=_LEAST_PIECE).fit(numpy.array(logs)).predict(pen=penalty)
    return [int(cut) for cut in found[:-1]]


def _variance_between_neighbours(logs: Sequence[float]) -> float:
    """The variance of one run, from the differences of neighbours, which a few steps hardly touch."""
    steps = [abs(after - before) for before, after in pairwise(logs)]
    return (1.4826 * median(steps)) ** 2 / 2


def _chance(logs: Sequence[float], seed: int) -> float:
    """How often the same runs in random order have a step at least as good at any place."""
    random = Random(seed)
    seen = _best_step(logs)
    shuffled = list(logs)
    hits = 0
    for _ in range(_PERMUTATIONS):
        random.shuffle(shuffled)
        hits += _best_step(shuffled) >= seen * (1 - 1e-9)
    return (hits + 1) / (_PERMUTATIONS + 1)


def _best_step(logs: Sequence[float]) -> float:
    """How much of the squared deviation the best single step explains."""
    n, centre = len(logs), fmean(logs)
    best = running = 0.0
    for i in range(n - _LEAST_PIECE):
        running += logs[i] - centre
        left = i + 1
        if left >= _LEAST_PIECE:
            best = max(best, running * running * n / (left * (n - left)))
    return best
