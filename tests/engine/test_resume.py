"""A resumed run keeps exactly what was whole: samples, events, errors and hash of whole iterations, nothing else."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.engine.events import EventStream
from harness.engine.loop import DURATION, run_phase
from harness.engine.resume import CAPTURED, CARRIED, Past, read_past
from harness.errors import Cancelled, RefusedError
from harness.journal.lines import Journal, read_journal
from harness.measure.catalogue import Metric
from harness.measure.samples import TOLD_KEPT, Phase, SampleFile, read_measured
from harness.results.manifest import measured_iterations
from harness.runner import Context

FACTS = {
    "hostname": "bench-1",
    "fingerprint": "0f1e",
    "device": "cpu",
    "libraries": {"torch": "2.13.0", "numpy": "2.4"},
    "python": "3.11.7",
    "commit": "abc",
}


class Work:
    """A runner whose fifth iteration is killed in its middle: it raises what passes through the loop."""

    def __init__(self, cut_at: int | None) -> None:
        self._cut_at = cut_at

    def setup(self, context: Context) -> None:
        context.event("work.set_up")

    def iterate(self, context: Context) -> Mapping[str, float] | None:
        context.record("work.size", context.iteration)
        context.event("work.done", number=context.iteration)
        if context.phase == Phase.MEASURE:
            context.fingerprint(bytes([context.iteration]))
        if context.phase == Phase.MEASURE and context.iteration == self._cut_at:
            raise Cancelled
        if context.iteration == 1:
            raise ValueError("number 1 never works")
        return {"work.size": context.iteration + 0.5}

    def teardown(self) -> None:
        pass


OPEN = contextlib.ExitStack()


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    OPEN.close()


class Attempt:
    """One process's part of a run, made without processes: the worker's side and the journal of the supervisor's."""

    def __init__(self, folder: Path, past: Past | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        self.samples = SampleFile(folder / "samples.bin", create=True, capacity=2048)
        self.stream = EventStream(Journal(folder / "events.jsonl"), "trace")
        OPEN.callback(self.samples.close)
        OPEN.callback(self.stream.close)
        self.stream.emit("run.started", choices={"scenario": "work"})
        if past is not None:
            past.take_over(self.samples, self.stream.emit)
        self.stream.emit(CAPTURED, "debug", **FACTS)
        self.lost = 0  # of the worker's last events, how many the supervisor no longer wrote down
        self._pending: list[tuple[str, Mapping[str, Any]]] = []
        self.context = Context(
            self.samples, {name: Metric(name, "1") for name in (DURATION, "work.size")}, self._emit, folder
        )

    def _emit(self, name: str, attributes: Mapping[str, Any]) -> None:
        self.samples.tell()
        self._pending.append((name, attributes))

    def work(self, iterations: int, cut_at: int | None = None, warmup: int = 3, lost: int = 0) -> "Attempt":
        runner = Work(cut_at)
        runner.setup(self.context)
        run_phase(runner, self.context, Phase.WARMUP, warmup)
        with contextlib.suppress(Cancelled):  # as a kill would have left it
            run_phase(runner, self.context, Phase.MEASURE, iterations)
        for name, attributes in self._pending[: len(self._pending) - lost]:
            self.stream.emit(name, **attributes)
        return self

    def past(self, *before: Path) -> Past:
        return read_past(self.folder.name, [self.folder, *before])

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in read_journal(self.folder / "events.jsonl")[0] if event["event"] == name]


def test_the_iteration_that_was_cut_short_is_measured_again_and_no_other(tmp_path: Path) -> None:
    whole = Attempt(tmp_path / "whole").work(8)
    killed = Attempt(tmp_path / "killed").work(8, cut_at=5)
    past = killed.past()
    assert past.iterations == 5
    resumed = Attempt(tmp_path / "resumed", past).work(8)
    one, other = read_measured(whole.folder / "samples.bin"), read_measured(resumed.folder / "samples.bin")
    assert other.failed == one.failed == {1}
    for name in (DURATION, "work.size"):
        assert other.series[name].iterations == one.series[name].iterations
    assert other.series["work.size"].values == one.series["work.size"].values
    kept = read_measured(killed.folder / "samples.bin").series[DURATION].values[:4]
    assert other.series[DURATION].values[:4] == kept


def test_the_outcome_is_that_of_an_undisturbed_run(tmp_path: Path) -> None:
    whole = Attempt(tmp_path / "whole").work(8)
    past = Attempt(tmp_path / "killed").work(8, cut_at=5).past()
    resumed = Attempt(tmp_path / "resumed", past).work(8)
    assert resumed.context.outcome == whole.context.outcome is not None


def test_events_of_kept_iterations_are_told_again_once_however_often_a_run_is_resumed(tmp_path: Path) -> None:
    first = Attempt(tmp_path / "first").work(8, cut_at=3)
    second = Attempt(tmp_path / "second", first.past()).work(8, cut_at=6)
    third = Attempt(tmp_path / "third", second.past(first.folder)).work(8)
    measured = [event for event in third.events("work.done") if event["phase"] == "measure"]
    assert [event["number"] for event in measured] == list(range(8))
    assert [event.get(CARRIED) for event in measured] == ["first"] * 3 + ["second"] * 3 + [None] * 2
    assert [event["number"] for event in third.events("work.done") if event["phase"] == "warmup"] == [0, 1, 2]
    assert [error["message"] for error in second.past().errors] == ["number 1 never works"]


@pytest.mark.parametrize(("lost", "kept"), [(0, 5), (1, 5), (2, 4), (3, 3), (7, 0), (8, 0), (12, 0)])
def test_an_iteration_whose_events_did_not_reach_the_journal_is_measured_again(
    lost: int, kept: int, tmp_path: Path
) -> None:
    """The trap: the samples say 5 whole iterations, and a failed restore in the fifth would be forgotten."""
    killed = Attempt(tmp_path / "killed").work(8, cut_at=5, lost=lost)
    assert killed.past().iterations == kept


@pytest.mark.parametrize(("lost", "kept"), [(5, 196), (50, 151), (80, 0), (TOLD_KEPT + 40, 0)])
def test_where_the_hash_does_not_go_back_so_far_all_is_measured_again(lost: int, kept: int, tmp_path: Path) -> None:
    killed = Attempt(tmp_path / "killed").work(300, cut_at=200, lost=lost)
    assert killed.past().iterations == kept


def test_a_warm_up_is_never_taken_for_measured(tmp_path: Path) -> None:
    """The trap: the count of done iterations is that of the warm-up until the first one is measured."""
    killed = Attempt(tmp_path / "killed")
    runner = Work(None)
    run_phase(runner, killed.context, Phase.WARMUP, 3)
    assert measured_iterations(killed.folder / "samples.bin") == 0
    killed.samples.enter(Phase.TEARDOWN)
    assert measured_iterations(killed.folder / "samples.bin") == 0
    assert killed.past().iterations == 0


def test_a_run_that_is_killed_while_it_warms_up_again_keeps_what_it_had_taken_over(tmp_path: Path) -> None:
    past = Attempt(tmp_path / "first").work(8, cut_at=5).past()
    second = Attempt(tmp_path / "second", past)
    assert measured_iterations(second.folder / "samples.bin") == 5
    run_phase(Work(None), second.context, Phase.WARMUP, 2)
    assert measured_iterations(second.folder / "samples.bin") == 5
    assert second.past().iterations == 5


def test_a_run_that_is_killed_while_it_takes_over_has_nothing_and_the_earlier_one_has_all(tmp_path: Path) -> None:
    past = Attempt(tmp_path / "first").work(8, cut_at=5).past()
    second = Attempt(tmp_path / "second")
    with pytest.raises(Cancelled):
        replace(past, events=[*past.events]).take_over(second.samples, _killed)
    assert second.past().iterations == 0
    assert past.iterations == 5


def _killed(*_: Any, **__: Any) -> None:
    raise Cancelled


def test_a_run_without_samples_or_events_has_nothing_to_keep(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert read_past("run", [tmp_path / "run"]).iterations == 0


@pytest.mark.parametrize("changed", [{"hostname": "bench-2"}, {"fingerprint": "ffff"}, {"device": "cuda"}])
def test_another_machine_is_refused_whatever_is_accepted(changed: dict[str, str], tmp_path: Path) -> None:
    past = replace(Attempt(tmp_path / "killed").work(8, cut_at=5).past(), accepts_changes=True)
    with pytest.raises(RefusedError, match=r"another machine: .* was .*, is .*") as refused:
        past.checked({**FACTS, **changed})
    assert "rerun" in refused.value.hint


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"commit": "def"}, "commit was abc, is def"),
        ({"libraries": {"torch": "2.12.0", "numpy": "2.4"}}, "torch was 2.13.0, is 2.12.0"),
        ({"python": "3.12.1"}, "python was 3.11.7, is 3.12.1"),
    ],
)
def test_other_software_is_refused_unless_it_is_accepted_and_then_said(
    changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    past = Attempt(tmp_path / "killed").work(8, cut_at=5).past()
    with pytest.raises(RefusedError, match=said):
        past.checked({**FACTS, **changed})
    accepted = replace(past, accepts_changes=True).checked({**FACTS, **changed})
    assert accepted.told() == {"from": "killed", "kept_iterations": 5, "changes": [said]}
    assert past.checked(FACTS).told()["changes"] == []
