import math

import pytest

from harness.errors import BenchmarkFailed
from harness.gates.decide.chunks import best, log_ratios, minima


def test_each_chunk_is_its_fastest_and_a_rest_is_left_out() -> None:
    assert minima([3, 1, 2, 9, 8, 7, 0], 3) == [1, 7]


def test_where_more_is_better_the_largest_counts() -> None:
    assert best([3, 1, 2, 9, 8, 7], 3, higher_is_better=True) == [3, 9]


def test_a_slower_arm_has_a_positive_log_ratio() -> None:
    ratios = log_ratios([1.0] * 10, [1.05] * 10)
    assert ratios == pytest.approx([math.log(1.05)] * 2)


def test_a_lower_rate_counts_as_slower() -> None:
    ratios = log_ratios([100.0] * 5, [95.0] * 5, higher_is_better=True)
    assert ratios == pytest.approx([math.log(100 / 95)])


def test_one_disturbed_round_of_a_chunk_changes_nothing() -> None:
    calm, disturbed = [1.0] * 5, [1.0, 1.0, 50.0, 1.0, 1.0]
    assert log_ratios(calm, disturbed) == [0.0]


def test_a_round_that_lasts_no_time_has_no_ratio() -> None:
    with pytest.raises(BenchmarkFailed, match="positive"):
        log_ratios([1.0] * 5, [1.0, 0.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("b", [[1.0] * 4, [1.0] * 6])
def test_arms_that_had_not_as_many_rounds_do_not_pair(b: list[float]) -> None:
    with pytest.raises(ValueError, match="as many rounds"):
        log_ratios([1.0] * 5, b)


def test_fewer_rounds_than_a_chunk_are_refused() -> None:
    with pytest.raises(ValueError, match="a chunk of 5"):
        log_ratios([1.0] * 4, [1.0] * 4)
