"""The traps of comparing two processes, each put back on a simulated host: the plan of `ab` must not fall into it."""

from itertools import chain
from random import Random

import pytest

from harness.gates.decide.chunks import log_ratios
from harness.gates.decide.decision import Decision, decide
from harness.gates.decide.design import Design, orders
from tests.gates.decide.hosts import Host

SAME = {"A": 1.0, "B": 1.0}
DESIGN = Design()
TRIALS = 40
ALARMS = ("slower", "faster")


def turns(random: Random, rounds: int = 100) -> list[str]:
    return list(chain.from_iterable(orders(("A", "B"), rounds, random)))


def pairs_of(host: Host, count: int, **how: object) -> list[list[float]]:
    found = []
    for _ in range(count):
        values = host.measure(turns(host.random), SAME, **how)  # type: ignore[arg-type]
        found.append(log_ratios(values["A"], values["B"]))
    return found


def alarms(decisions: list[Decision]) -> int:
    return sum(decision.verdict in ALARMS for decision in decisions)


def test_blocks_one_after_the_other_measure_the_host_and_turns_in_random_order_do_not() -> None:
    """Trap: sequential blocks. The same host, the same rule: only the order differs."""
    random = Random(1)
    host = Host(random)
    blocks, mixed = [], []
    for _ in range(TRIALS):
        values = host.measure(["A"] * 100 + ["B"] * 100, SAME)
        blocks.append(decide([log_ratios(values["A"], values["B"])], DESIGN, shared=True, draws=300))
        values = host.measure(turns(random), SAME)
        mixed.append(decide([log_ratios(values["A"], values["B"])], DESIGN, shared=True, draws=300))
    assert alarms(blocks) > TRIALS / 4
    assert alarms(mixed) == 0


def test_every_arm_has_one_turn_a_round_in_an_order_that_changes() -> None:
    """Trap: unequal turns, and a fixed order, which gives what happens once a round always to the same arm."""
    found = orders(("A", "B", "null"), 200, Random(0))
    assert all(sorted(each) == ["A", "B", "null"] for each in found)
    first = [each.index("A") < each.index("B") for each in found]
    assert 70 < sum(first) < 130
    assert len(set(found)) == 6


def test_an_arm_that_is_called_more_often_looks_faster() -> None:
    """Trap: unequal turns. With 3 calls a turn against 1, unchanged work reads several percent faster."""
    host = Host(Random(2), warmth=0.1)
    unequal = decide(pairs_of(host, 7, calls={"A": 1, "B": 3}), DESIGN, draws=500)
    equal = decide(pairs_of(host, 7, calls={"A": 1, "B": 1}), DESIGN, draws=500)
    assert unequal.verdict == "faster"
    assert equal.verdict == "same"


def test_a_kept_first_call_hides_a_slowdown() -> None:
    """Trap: the warm-up call of a turn kept. What waking up costs is the same for both, and dilutes the difference."""
    host = Host(Random(3), cold=3.0)
    costs = {"A": 1.0, "B": 1.05}

    def effect(discard: int) -> float:
        found = []
        for _ in range(7):
            values = {arm: [] for arm in costs}  # type: ignore[var-annotated]
            for order in orders(("A", "B"), 100, host.random):
                for arm in order:
                    # waking up takes as long whatever the work is
                    one = host.measure([arm], {arm: costs[arm]}, discard=discard)[arm][0]
                    values[arm].append(one if discard else one - 4 * costs[arm] + costs[arm] + 3)
            found.append(log_ratios(values["A"], values["B"]))
        return decide(found, DESIGN, draws=300).estimate

    assert effect(1) == pytest.approx(0.05, abs=0.01)
    assert effect(0) < 0.025


def test_one_pair_of_processes_never_decides_however_long_it_runs() -> None:
    """Trap: a process pair treated as one of many. Two processes differ by 1.8 % and stay so."""
    host = Host(Random(4), between=0.05)
    for _ in range(10):
        values = host.measure(turns(host.random, 2000), {"A": 1.0, "B": 1.2})
        decision = decide([log_ratios(values["A"], values["B"])], DESIGN, draws=300)
        assert decision.verdict == "undecided"
        assert decision.low is None
        assert decision.smallest_visible is None


def test_chunks_of_different_processes_pooled_as_if_they_were_one_raise_alarms() -> None:
    """Trap: iterations counted instead of processes. By pairs the same data raise none."""
    host = Host(Random(5), between=0.04)
    trials = [pairs_of(host, 3) for _ in range(TRIALS)]
    pooled = [decide(groups, DESIGN, shared=True, draws=300) for groups in trials]
    by_pairs = [decide(groups, DESIGN, draws=300) for groups in trials]
    assert alarms(pooled) >= TRIALS / 10
    assert alarms(by_pairs) == 0
