"""The loop times what is measured and nothing else, and survives what is measured."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.engine.loop import DURATION, run_phase
from harness.errors import BenchmarkFailed, Cancelled
from harness.measure.canary import CANARY, Canary
from harness.measure.catalogue import Metric
from harness.measure.samples import Phase, SampleFile, read_measured
from harness.runner import Context


class Scripted:
    """A runner whose iterations are the given function."""

    def __init__(self, work: Callable[[Context], Any]) -> None:
        self._work = work

    def setup(self, context: Context) -> None:
        pass

    def iterate(self, context: Context) -> Mapping[str, float] | None:
        result: Mapping[str, float] | None = self._work(context)
        return result

    def teardown(self) -> None:
        pass


@pytest.fixture
def context(tmp_path: Path) -> Context:
    events: list[tuple[str, Mapping[str, Any]]] = []
    catalogue = {name: Metric(name, "1") for name in (DURATION, CANARY, "work.size")}
    samples = SampleFile(tmp_path / "samples.bin", create=True, capacity=2048)
    made = Context(samples, catalogue, lambda name, attributes: events.append((name, attributes)), tmp_path)
    made.config = {"events": events}
    return made


def test_every_iteration_is_one_sample_of_its_duration(context: Context) -> None:
    tally = run_phase(Scripted(lambda c: None), context, Phase.MEASURE, 7)
    assert (tally.done, tally.failed) == (7, 0)
    series = read_measured(context.samples.path).series[DURATION]
    assert series.iterations == list(range(7))
    assert all(value > 0 for value in series.values)


def test_the_recorded_time_is_that_of_the_work_by_its_own_clock(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 10**9, 5_000_000))
    monkeypatch.setattr("harness.engine.loop.time.perf_counter_ns", lambda: next(ticks))
    run_phase(Scripted(lambda c: None), context, Phase.MEASURE, 3)
    assert read_measured(context.samples.path).series[DURATION].values == [5.0, 5.0, 5.0]


def test_what_iterate_returns_and_records_belongs_to_its_iteration(context: Context) -> None:
    def work(c: Context) -> Mapping[str, float]:
        c.record("work.size", c.iteration)
        return {"work.size": c.iteration + 0.5}

    run_phase(Scripted(work), context, Phase.MEASURE, 3)
    series = read_measured(context.samples.path).series["work.size"]
    assert list(zip(series.iterations, series.values, strict=True)) == [
        (0, 0.0), (0, 0.5), (1, 1.0), (1, 1.5), (2, 2.0), (2, 2.5),
    ]  # fmt: skip


def test_warm_up_leaves_no_sample(context: Context) -> None:
    run_phase(Scripted(lambda c: {"work.size": 1.0}), context, Phase.WARMUP, 5)
    assert read_measured(context.samples.path).series == {}


@pytest.mark.parametrize("failing", [{0}, {1, 2}, {4}, {0, 1, 2, 3, 4}])
def test_a_raising_iteration_is_told_and_the_next_one_runs(context: Context, failing: set[int]) -> None:
    def work(c: Context) -> None:
        if c.iteration in failing:
            raise ValueError(f"number {c.iteration}")

    tally = run_phase(Scripted(work), context, Phase.MEASURE, 5)
    measured = read_measured(context.samples.path)
    assert (tally.done, tally.failed) == (5, len(failing))
    assert measured.failed == failing
    assert [error["message"] for error in tally.errors] == [f"number {n}" for n in sorted(failing)]


def test_a_cancel_ends_the_loop_before_the_next_iteration(context: Context) -> None:
    def work(c: Context) -> None:
        if c.iteration == 2:
            c.samples.cancel()

    tally = run_phase(Scripted(work), context, Phase.MEASURE, 100)
    assert tally.done == 3
    assert len(read_measured(context.samples.path).series[DURATION].values) == 3


def test_a_cancel_in_the_middle_of_an_iteration_passes_through(context: Context) -> None:
    def work(c: Context) -> None:
        if c.iteration == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_phase(Scripted(work), context, Phase.MEASURE, 100)
    assert len(read_measured(context.samples.path).series[DURATION].values) == 2


def test_an_iteration_may_record_more_than_the_file_had_room_for(context: Context) -> None:
    def work(c: Context) -> None:
        for number in range(3000):
            c.record("work.size", number)

    run_phase(Scripted(work), context, Phase.MEASURE, 3)
    measured = read_measured(context.samples.path)
    assert len(measured.series["work.size"].values) == 9000
    assert len(measured.series[DURATION].values) == 3


def test_an_undeclared_metric_says_where_to_declare_it(context: Context) -> None:
    with pytest.raises(BenchmarkFailed, match=r"did you mean 'work.size'.*Declare it under `metrics:`") as raised:
        context.record("work.sise", 1.0)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("returned", [3.0, "text", {"work.size": "many"}, {"work.size": True}, {"other": 1.0}])
def test_what_is_no_metric_fails_the_iteration(context: Context, returned: object) -> None:
    tally = run_phase(Scripted(lambda c: returned), context, Phase.MEASURE, 2)
    assert tally.failed == 2


def test_the_outcome_is_hashed_over_measured_iterations_only(context: Context) -> None:
    runner = Scripted(lambda c: c.fingerprint(bytes([c.iteration])))
    run_phase(runner, context, Phase.WARMUP, 2)
    assert context.outcome is None
    run_phase(runner, context, Phase.MEASURE, 2)
    first = context.outcome
    run_phase(runner, context, Phase.MEASURE, 1)
    assert first is not None
    assert context.outcome != first


def test_a_canary_is_timed_once_after_each_iteration_and_not_in_its_time(context: Context) -> None:
    calls: list[int] = []
    canary = Canary()
    tally = run_phase(Scripted(lambda c: calls.append(c.iteration)), context, Phase.MEASURE, 5, canary)
    assert (tally.done, calls) == (5, [0, 1, 2, 3, 4])
    series = read_measured(context.samples.path).series
    assert series[CANARY].iterations == series[DURATION].iterations
    assert min(series[CANARY].values) > 0
