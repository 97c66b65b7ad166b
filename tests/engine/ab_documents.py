"""Comparisons made by hand, for tests of what is said about them."""

import math
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any

from harness.config.compose import compose
from harness.config.spec import RunSpec
from harness.engine.ab_document import Measured, Side, build
from harness.engine.pairs import NULL, Pair
from harness.gates.decide.design import Design
from harness.measure.catalogue import Metric
from harness.results.times import now

METRIC = Metric("iteration.duration_ms", "ms", "histogram", "lower", "wall time of one call")


@cache
def spec(*overrides: str) -> RunSpec:
    return RunSpec.from_composed(compose(["scenario=function", "lock=shared", *overrides]))


def a_pair(effect: float = 0.0, null: float = 0.0, seed: int = 0, noise: float = 0.002) -> Pair:
    """The times of one pair whose true slowdowns are known."""
    random = Random(seed)

    def times(factor: float) -> list[float]:
        return [factor * math.exp(abs(random.gauss(0, noise))) for _ in range(20)]

    values = {"A": times(1.0), "B": times(1 + effect), NULL: times(1 + null)}
    each = dict.fromkeys(values, 20)
    return Pair(values, each, {name: 100 + i for i, name in enumerate(values)}, dict.fromkeys(values), 0.1, 3.0)


def pairs(count: int, effect: float = 0.0, null: float = 0.0, seed: int = 0) -> list[Pair]:
    return [a_pair(effect, null, seed + i) for i in range(count)]


def measured(
    short: Sequence[Pair], more: Sequence[Pair] = (), confirm: Sequence[Pair] = (), **changes: Any
) -> Measured:
    """A finished comparison of these pairs."""
    a, b = Side("", spec()), Side("seed=1", spec("seed=1"))
    found = Measured("20261122T000000Z-ab-function-000000", "ab", a, b, Design(rounds=20), METRIC, 0)
    found.pairs = {"short": list(short), "more": list(more), "confirm": list(confirm)}
    found.rounds, found.started_at, found.duration_s = 20, now(), 1.0
    found.quietness = {"before": {}, "after": {"quiet": True, "reason": None}}
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def a_document(*stages: Sequence[Pair], **changes: Any) -> dict[str, Any]:
    """The document of such a comparison; by default of one that found nothing."""
    return build(measured(*(stages or [pairs(7)]), **changes), ["harness", "ab"])
