"""The rules of other tools, held against figures of independent implementations, and where they go wrong."""

from random import Random

import pytest

from harness.gates.decide.peers import PEERS, asv, mann_whitney, naive, rank_p, welch

A = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
B = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 29.0]


def test_the_ranks_give_the_p_value_of_an_independent_implementation() -> None:
    _, p = rank_p(A, B)
    assert p == pytest.approx(0.005094197207629392)  # scipy 1.17.1, mannwhitneyu, asymptotic


def test_all_equal_values_differ_in_nothing() -> None:
    assert rank_p([1.0] * 5, [1.0] * 5) == (0.0, 1.0)
    assert welch([1.0] * 5, [1.0] * 5) == 0


def test_a_fixed_tenth_ignores_everything_below_it() -> None:
    assert naive([1.0] * 10, [1.09] * 10) == 0
    assert naive([1.0] * 10, [1.11] * 10) == 1
    assert naive([1.0] * 10, [0.89] * 10) == -1


def test_the_rule_with_a_ratio_of_1_1_hides_5_percent_however_sure() -> None:
    slower = [1.05 + i / 1e4 for i in range(100)]
    base = [1.0 + i / 1e4 for i in range(100)]
    assert mann_whitney(base, slower) == 1
    assert asv(base, slower) == 0
    assert asv(base, [2 * value for value in base]) == 1


@pytest.mark.parametrize("name", ["welch", "mann_whitney"])
def test_a_test_at_one_percent_alarms_in_about_one_percent_of_independent_samples(name: str) -> None:
    random = Random(7)
    trials = 400
    alarms = sum(
        PEERS[name]([random.gauss(0, 1) for _ in range(30)], [random.gauss(0, 1) for _ in range(30)]) != 0
        for _ in range(trials)
    )
    assert 0 <= alarms / trials < 0.03


def test_direction_is_told() -> None:
    assert [rule(A, [2 * value for value in A]) for rule in PEERS.values()] == [1] * 4
    assert [rule([2 * value for value in A], A) for rule in PEERS.values()] == [-1] * 4
