import math
from random import Random

import pytest

from harness.gates.decide.bootstrap import Estimate, location, over_chunks, over_pairs


def width(found: Estimate, level: float = 0.99) -> float:
    low, high = found.interval(level)
    return high - low


def test_the_location_is_the_median_of_all_averages() -> None:
    assert location([1.0, 2.0, 9.0]) == pytest.approx(3.5)  # of 1, 1.5, 2, 5, 5.5, 9
    assert location([4.0]) == 4.0


def test_many_values_have_their_median() -> None:
    assert location([float(i) for i in range(101)]) == 50.0


def test_a_single_pair_has_no_interval() -> None:
    found = over_pairs([[0.1] * 20])
    assert (*found.interval(0.99), found.error) == (-math.inf, math.inf, math.inf)
    assert found.value == 0.1


def test_the_interval_grows_with_what_processes_differ() -> None:
    random = Random(0)
    widths = []
    for between in (0.001, 0.02):
        groups = [[random.gauss(0, between)] * 20 for _ in range(7)]
        widths.append(width(over_pairs(groups, draws=500)))
    assert widths[1] > 5 * widths[0]


def test_few_pairs_widen_the_interval() -> None:
    values = [-0.02, 0.0, 0.02]
    three = over_pairs([[value] for value in values], draws=2000)
    assert width(three) > 3 * (max(values) - min(values))


def test_chunks_of_one_process_give_the_interval_of_their_median() -> None:
    random = Random(0)
    chunks = [random.gauss(0.05, 0.01) for _ in range(60)]
    found = over_chunks(chunks, draws=2000)
    low, high = found.interval(0.99)
    assert low < 0.05 < high
    assert high - low < 0.012
    assert found.groups == 1


def test_the_estimate_always_lies_within_its_interval() -> None:
    found = over_pairs([[0.0] * 20, [0.0] * 20, [0.0] * 20, [0.3] * 20], draws=200)
    low, high = found.interval(0.99)
    assert low <= found.value <= high


def test_a_lower_level_has_a_narrower_interval() -> None:
    found = over_pairs([[0.01 * i] for i in range(7)], draws=1000)
    assert width(found, 0.95) < width(found, 0.99)


def test_nothing_has_no_effect() -> None:
    with pytest.raises(ValueError, match="at least one chunk"):
        over_chunks([])
