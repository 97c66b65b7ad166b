import random
from itertools import combinations

import pytest

from harness.measure.shift import LEVEL, lower_rank, shift


def test_groups_far_apart_are_bounded_by_their_own_values() -> None:
    found = shift([1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 14.0, 15.0])
    assert (found.estimate, found.low, found.high) == (10.0, 6.0, 14.0)


def test_groups_too_small_for_the_level_have_an_estimate_without_bounds() -> None:
    found = shift([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0])
    assert (found.estimate, found.low, found.high) == (1.0, None, None)
    with pytest.raises(ValueError, match="Found 0 and 1"):
        shift([], [1.0])


@pytest.mark.parametrize(("n", "m", "rank"), [(4, 4, None), (4, 5, None), (5, 5, 1), (5, 6, 2), (10, 10, 17)])
def test_ranks_are_those_of_the_published_tables(n: int, m: int, rank: int | None) -> None:
    """Critical values of the two-sided Mann-Whitney test at 0.01; the rank is one more."""
    assert lower_rank(n, m, LEVEL) == rank


def test_ranks_are_those_of_counting_every_order() -> None:
    n, m, level = 4, 6, 0.9
    counts = []
    for places in combinations(range(n + m), n):
        others = [place for place in range(n + m) if place not in places]
        counts.append(sum(ours > theirs for ours in places for theirs in others))
    rank = lower_rank(n, m, level)
    assert rank is not None
    assert sum(count < rank for count in counts) / len(counts) <= 0.05
    assert sum(count < rank + 1 for count in counts) / len(counts) > 0.05


def test_the_approximation_joins_the_exact_ranks() -> None:
    exact, approximate = lower_rank(20, 20), lower_rank(20, 21)
    assert exact is not None
    assert approximate is not None
    assert exact <= approximate <= exact + 10


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(5, 5), (7, 12), (30, 30)])
def test_the_interval_covers_as_often_as_it_claims_whatever_the_distribution(sizes: tuple[int, int]) -> None:
    source, missed, trials = random.Random(3), 0, 4000
    for _ in range(trials):
        before = [source.lognormvariate(0, 0.5) for _ in range(sizes[0])]
        after = [source.lognormvariate(0, 0.5) + 1.0 for _ in range(sizes[1])]
        found = shift(before, after)
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= 1.0 <= found.high
    assert missed / trials <= 0.01 + 3 * (0.01 / trials) ** 0.5
