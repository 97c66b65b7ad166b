"""Persistent arms in fresh processes: equal turns, calls thrown away, faults told with the arm's name."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.engine.pairs import ArmSpec, PairRunner
from harness.engine.signals import CancelRequest
from harness.errors import BenchmarkFailed, Cancelled, RefusedError
from harness.gates.decide.design import Design
from harness.process.launcher import Launcher
from tests.command_line import ROOT

WORK = "tests.engine.arm_workloads"
METRICS = {"test.units": {"unit": "count", "better": "lower"}, "test.rate": {"unit": "1/s", "better": "higher"}}
PRELOAD = ("harness.engine.arm", "harness.config.build", WORK)


def arm(target: str, *, warmup: int = 0, timeout_s: float = 60.0, **parameters: Any) -> ArmSpec:
    config = {
        "scenario": {"_target_": f"{WORK}.{target}", **parameters},
        "affinity": {"threads": 1, "cpus": None, "nice": 0},
        "metrics": METRICS,
        "measure": {"warmup": warmup},
        "seed": 0,
        "deterministic": False,
    }
    return ArmSpec(config, "cpu", "fork", PRELOAD, (str(ROOT),), None, timeout_s)


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    with Launcher() as found:
        yield found


@pytest.fixture
def make(launcher: Launcher, tmp_path: Path) -> Iterator[Any]:
    cancel = CancelRequest()
    printed: list[tuple[str, bytes]] = []

    def build(a: ArmSpec, b: ArmSpec, design: Design | None = None, metric: str = "test.units") -> PairRunner:
        plan = design or Design(rounds=10)
        return PairRunner(
            launcher,
            cancel,
            tmp_path / "arms",
            {"A": a, "B": b},
            metric,
            plan,
            Random(0),
            lambda name, data: printed.append((name, data)),
            metric == "test.rate",
        )

    build.cancel, build.printed = cancel, printed  # type: ignore[attr-defined]
    yield build
    cancel.close()


def test_both_arms_live_at_once_in_processes_of_their_own_and_have_equal_turns(make: Any) -> None:
    runner = make(arm("Counted", units=100), arm("Counted", units=105))
    first, second = runner.run(), runner.run()
    assert first.values == {"A": [100.0] * 10, "B": [105.0] * 10}
    assert first.calls == {"A": 10, "B": 10}
    assert len({*first.pids.values(), *second.pids.values()}) == 4
    assert first.code["A"] == str(ROOT / "tests/engine/arm_workloads.py")


def test_the_first_call_of_a_turn_is_thrown_away(make: Any) -> None:
    """Trap: the warm-up call kept. Every call after a pause costs twice as much here, and none of them is seen."""
    pair = make(arm("Cold"), arm("Cold")).run()
    assert set(pair.values["A"]) == set(pair.values["B"]) == {1.0}
    kept = make(arm("Cold"), arm("Cold"), Design(rounds=10, discard=0)).run()
    assert 2.0 in kept.values["A"]


def test_of_several_calls_the_best_counts(make: Any) -> None:
    design = Design(rounds=10, calls=2, discard=0)
    assert set(make(arm("Cold"), arm("Cold"), design).run().values["A"]) == {1.0}


def test_where_more_is_better_the_largest_of_several_calls_counts(make: Any) -> None:
    runner = make(arm("Counted", units=100), arm("Counted", units=200), Design(rounds=5, calls=2), "test.rate")
    assert runner.run().values == {"A": [10.0] * 5, "B": [5.0] * 5}


def test_rounds_that_take_long_are_fewer(make: Any) -> None:
    design = Design(rounds=1000, budget_s=0.001)
    runner = make(arm("Counted", units=100), arm("Counted", units=100), design)
    assert len(runner.run().values["A"]) == design.chunk
    assert runner.rounds == design.chunk


def test_nothing_of_a_pair_is_left_behind(make: Any, tmp_path: Path) -> None:
    runner = make(arm("Counted", units=100), arm("Counted", units=100))
    runner.run()
    assert list((tmp_path / "arms").iterdir()) == []


def test_what_an_arm_prints_comes_with_its_name(make: Any) -> None:
    make(arm("Counted", units=100), arm("Cold")).run()
    assert b"".join(data for name, data in make.printed if name == "A") == b"set up\n"
    assert {name for name, _ in make.printed} == {"A"}


def test_an_iteration_that_raises_is_told_with_its_arm(make: Any) -> None:
    with pytest.raises(BenchmarkFailed, match=r"B: .*iteration 4 failed: ValueError: went wrong"):
        make(arm("Counted", units=100), arm("Faulty", kind="raises", at=5)).run()


def test_a_process_that_ends_is_told_with_its_exit(make: Any) -> None:
    with pytest.raises(BenchmarkFailed, match="B: the process ended without a word: exit code 7"):
        make(arm("Counted", units=100), arm("Faulty", kind="exits", at=3)).run()


def test_a_call_that_hangs_is_ended_at_its_limit(make: Any) -> None:
    with pytest.raises(BenchmarkFailed, match="B gave no answer within 1 s"):
        make(arm("Counted", units=100), arm("Faulty", kind="hangs", at=3, timeout_s=1.0)).run()


def test_a_metric_that_is_not_recorded_is_named(make: Any) -> None:
    with pytest.raises(BenchmarkFailed, match=r"1 of 1 calls did not record test\.units"):
        make(arm("Counted", units=100), arm("Faulty", kind="silent", at=4)).run()


def test_a_set_up_that_fails_is_told_with_its_arm(make: Any) -> None:
    with pytest.raises(BenchmarkFailed, match="B: RuntimeError: cannot be set up"):
        make(arm("Counted", units=100), arm("Faulty", kind="raises", at=0)).run()


def test_parameters_that_do_not_fit_refuse_the_comparison(make: Any) -> None:
    with pytest.raises(RefusedError, match="B: "):
        make(arm("Counted", units=100), arm("Counted", pieces=100)).run()


def test_a_cancel_ends_both_arms(make: Any) -> None:
    runner = make(arm("Counted", units=100), arm("Counted", units=100))
    make.cancel.ask()
    with pytest.raises(Cancelled):
        runner.run()
    make.cancel.drain()
    make.cancel.asked = False
    assert runner.run().calls == {"A": 10, "B": 10}
