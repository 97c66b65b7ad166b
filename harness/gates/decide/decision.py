"""The verdict of a comparison: slower, faster, same, or undecided, with the smallest effect that the data could see."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

from harness.gates.decide.bootstrap import DRAWS, Estimate, over_chunks, over_pairs
from harness.gates.decide.design import Design
from harness.measure.intervals import student_t

Verdict = Literal["slower", "faster", "same", "undecided"]
POWER = 0.8  # with which the smallest visible effect would be found
_MOST_MORE = 500  # pairs that anyone would add; beyond, the advice is to quieten the host


@dataclass(frozen=True)
class Decision:
    """What the data say. Effects are shares: 0.05 is 5 % slower, or 5 % less of what there should be more of.

    `smallest_visible` is the slowdown that such data would find in `POWER` of all cases, None where none would be
    found; `more` is how many pairs (or chunks, where the arms shared a process) are missing to see `tolerance`.
    """

    verdict: Verdict
    estimate: float
    low: float | None
    high: float | None
    pairs: int
    chunks: int
    smallest_visible: float | None
    more: int | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """The form that the report document holds."""
        return asdict(self)


def decide(groups: Sequence[Sequence[float]], design: Design, *, shared: bool = False, draws: int = DRAWS) -> Decision:
    """The decision over log ratios of chunks, one sequence a pair of processes.

    With `shared` both arms ran in one process: then there is no difference of processes to allow for, and the chunks
    of all groups are pooled.

    Raises:
        ValueError: there is nothing to decide on.
    """
    pooled = [chunk for group in groups for chunk in group]
    found = over_chunks(pooled, draws) if shared else over_pairs(groups, draws)
    low, high = found.interval(design.level)
    verdict, reason = _judge(found, design)
    return Decision(
        verdict,
        math.expm1(found.value),
        _share(low),
        _share(high),
        found.groups,
        found.chunks,
        _smallest(found, design),
        _more(found.error * math.sqrt(found.counted), found.counted, design),
        reason,
    )


def wants_more(decision: Decision, design: Design) -> bool:
    """Whether the second stage is taken: the first cannot tell, or saw more than a quarter of the tolerance.

    An effect whose whole interval lies beyond half the tolerance needs no more: that is more than an alarm asks for.
    """
    if decision.verdict == "same":
        return abs(decision.estimate) > design.tolerance / 4
    bound = {"slower": decision.low, "faster": decision.high}.get(decision.verdict)
    return bound is None or abs(bound) <= design.tolerance / 2


def staged(groups: Sequence[Sequence[float]], design: Design, *, draws: int = DRAWS) -> Decision:
    """The decision that a comparison comes to on these pairs: of the short stage, or of both."""
    short = decide(groups[: design.pairs], design, draws=draws)
    if not wants_more(short, design):
        return short
    return decide(groups[: design.pairs + design.more_pairs], design, draws=draws)


def _judge(found: Estimate, design: Design) -> tuple[Verdict, str]:
    half, whole = math.log1p(design.tolerance / 2), math.log1p(design.tolerance)
    low, high = found.interval(design.level)
    if low > 0 and found.value > half:
        return "slower", "the whole interval is above 0, and the estimate above half the tolerance"
    if high < 0 and found.value < -half:
        return "faster", "the whole interval is below 0, and the estimate beyond half the tolerance"
    if not found.draws:
        return "undecided", "so few data have no interval; a single pair shows the difference of its processes too"
    if abs(found.value) > half:
        return "undecided", "the estimate is beyond half the tolerance, and the interval still holds 0"
    near_low, near_high = found.interval(design.same_level)
    if -whole < near_low and near_high < whole:
        if low > 0 or high < 0:
            return "same", "there is a change, and it is smaller than half the tolerance"
        return "same", f"the {100 * design.same_level:g} % interval lies within the tolerance"
    return "undecided", f"the {100 * design.same_level:g} % interval reaches beyond the tolerance"


def _share(bound: float) -> float | None:
    return math.expm1(bound) if math.isfinite(bound) else None


def _smallest(found: Estimate, design: Design) -> float | None:
    """The slowdown that would be called one with the probability `POWER`."""
    if math.isinf(found.error):
        return None
    needed = max(found.value - found.interval(design.level)[0], math.log1p(design.tolerance / 2))
    return math.expm1(needed + NormalDist().inv_cdf(POWER) * found.error)


def _more(deviation: float, n: int, design: Design) -> int | None:
    """How many more of what is counted would show a slowdown of the tolerance; None where that is out of reach."""
    if not math.isfinite(deviation):
        return max(0, design.pairs - n)
    normal, half, whole = NormalDist(), math.log1p(design.tolerance / 2), math.log1p(design.tolerance)
    for total in range(max(2, n), n + _MOST_MORE + 1):
        error = deviation / math.sqrt(total)
        needed = max(student_t(total - 1, design.level) * error, half)
        if needed + normal.inv_cdf(POWER) * error <= whole:
            return total - n
    return None
