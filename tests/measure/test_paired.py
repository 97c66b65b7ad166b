import math
import random

import pytest

from harness.measure.paired import Paired, paired_ratio


def rounds(chance: random.Random, n: int, factor: float) -> tuple[list[float], list[float]]:
    """Two arms on a host that changes its speed by a factor of three between rounds."""
    pace = [chance.uniform(1.0, 3.0) for _ in range(n)]
    a = [factor * p * chance.lognormvariate(0.0, 0.05) for p in pace]
    return a, [p * chance.lognormvariate(0.0, 0.05) for p in pace]


def test_the_ratio_of_known_rounds_is_their_median() -> None:
    assert paired_ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == Paired(2.0, None, None, 3)
    assert paired_ratio([float(i) for i in range(1, 11)], [1.0] * 10) == Paired(5.5, 2.0, 9.0, 10)


@pytest.mark.parametrize(("factor", "n"), [(1.0, 6), (1.05, 20), (2.0, 60)])
def test_the_interval_covers_the_true_ratio_although_the_host_drifts(factor: float, n: int) -> None:
    chance, trials = random.Random(f"{factor} {n}"), 600
    hits = 0
    for _ in range(trials):
        found = paired_ratio(*rounds(chance, n, factor))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= factor <= found.high
    assert hits / trials >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.90, 0.95, 0.99])
def test_the_coverage_of_each_level_holds_in_long_simulations(level: float) -> None:
    chance, trials, hits = random.Random(f"level {level}"), 4000, 0
    for _ in range(trials):
        found = paired_ratio(*rounds(chance, 24, 1.0), level)
        hits += found.low is not None and found.high is not None and found.low <= 1 <= found.high
    assert hits / trials >= level - 3 * math.sqrt(level * (1 - level) / trials)


def test_pairing_sees_five_percent_that_the_drift_hides_from_means() -> None:
    a, b = rounds(random.Random(1), 100, 1.05)
    found = paired_ratio(a, b)
    assert found.low is not None
    assert found.low > 1.0
    spread = max(b) / min(b)
    assert spread > 2.0


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0], [1.0, 2.0], "as many rounds. Found 1 and 2"),
        ([], [], "at least one round"),
        ([1.0, 2.0], [1.0, 0.0], r"`b` should hold positive numbers. Found `b\[1\] = 0.0`"),
        ([float("nan")], [1.0], r"`a` should hold positive numbers. Found `a\[0\] = nan`"),
    ],
)
def test_rounds_that_give_no_ratio_are_refused_with_their_place(a: list[float], b: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_ratio(a, b)
