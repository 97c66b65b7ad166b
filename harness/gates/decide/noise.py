"""What comparing a thing with itself shows: how much processes differ, how often that would raise an alarm."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from statistics import median, stdev
from typing import Any

from harness.gates.decide.decision import Decision, decide, staged
from harness.gates.decide.design import Design
from harness.gates.decide.proportion import clopper_pearson

TRIALS = 400
_DRAWS = 500  # of each trial's bootstrap


@dataclass(frozen=True)
class Noise:
    """The noise of a host for one workload; shares, so 0.018 is 1.8 %.

    `false_alarms` is how often `drawn` pairs, as many as a comparison takes at most, drawn anew from those measured,
    were called slower or faster, with the 95 % bounds of that rate over `trials`; it rests on `pairs` real pairs.
    """

    pairs: int
    drawn: int
    between_pairs: float
    within_pair: float
    bias: Decision
    trials: int
    false_alarms: float
    false_alarms_low: float
    false_alarms_high: float

    def as_dict(self) -> dict[str, Any]:
        """The form that the report document holds."""
        return asdict(self)


def noise_of(groups: Sequence[Sequence[float]], design: Design, *, trials: int = TRIALS, seed: int = 0) -> Noise:
    """The noise in pairs of processes that ran the same, from the log ratios of their chunks.

    Raises:
        ValueError: there are fewer than two pairs.
    """
    if len(groups) < 2:
        raise ValueError(f"Parameter `groups` should hold at least two pairs. Found {len(groups)}.")
    centres = [median(group) for group in groups]
    within = median(_error_of_median(group) for group in groups)
    usual = Design()
    drawn = min(usual.pairs + usual.more_pairs, len(groups))
    design = replace(design, pairs=usual.pairs, more_pairs=usual.more_pairs)
    rates = resampled(groups, design, drawn, trials=trials, seed=seed)
    alarms = sum(decision.verdict in ("slower", "faster") for decision in rates)
    low, high = clopper_pearson(alarms, trials)
    return Noise(len(groups), drawn, stdev(centres), within, decide(groups, design), trials, alarms / trials, low, high)


def resampled(
    groups: Sequence[Sequence[float]], design: Design, size: int, *, trials: int, seed: int = 0, draws: int = _DRAWS
) -> list[Decision]:
    """The decisions, by both stages, on `trials` sets of `size` pairs, drawn without repetition from these.

    A set never holds a pair twice, so that each looks like a run; sets overlap, so the rate is optimistic about pairs
    that were not measured.
    """
    random = Random(seed)
    return [staged(random.sample(list(groups), size), design, draws=draws) for _ in range(trials)]


def _error_of_median(chunks: Sequence[float]) -> float:
    """The standard error of the median of roughly normal values."""
    return math.sqrt(math.pi / 2 / len(chunks)) * stdev(chunks) if len(chunks) > 1 else 0.0
