import random
from statistics import fmean

import pytest

from harness.llm.fit import growth, line

XS = [64, 128, 256, 512]


def test_points_on_a_line_give_it_exactly() -> None:
    found = line(XS, [12 + 0.5 * x for x in XS])
    assert found is not None
    assert found.slope.value == pytest.approx(0.5)
    assert found.intercept.value == pytest.approx(12)
    assert found.slope.high - found.slope.low == pytest.approx(0, abs=1e-9)


def test_the_interval_covers_the_true_slope_as_often_as_it_says() -> None:
    source = random.Random(5)
    covered = []
    for _ in range(1000):
        found = line(XS * 2, [12 + 0.5 * x + source.gauss(0, 20) for x in XS * 2])
        assert found is not None
        covered.append(found.slope.low <= 0.5 <= found.slope.high and found.intercept.low <= 12)
    assert fmean(covered) == pytest.approx(0.94, abs=0.025)


@pytest.mark.parametrize(("xs", "ys"), [([1, 2], [1, 2]), ([3, 3, 3], [1, 2, 3]), ([], [])])
def test_too_few_points_are_no_line(xs: list[float], ys: list[float]) -> None:
    assert line(xs, ys) is None


@pytest.mark.parametrize(
    ("square", "expected"), [(0.0, 1.0), (0.001, (0.5 + 2 * 0.001 * 512) / (0.5 + 2 * 0.001 * 64))]
)
def test_a_cost_that_grows_with_the_length_is_found(square: float, expected: float) -> None:
    assert growth(XS, [5 + 0.5 * x + square * x * x for x in XS]) == pytest.approx(expected)


def test_growth_needs_four_points_at_three_lengths() -> None:
    assert growth([1, 2, 3], [1, 2, 3]) is None
    assert growth([1, 1, 2, 2], [1, 2, 3, 4]) is None
    assert growth([1, 2, 3, 4], [4, 3, 2, 1.0]) is None
