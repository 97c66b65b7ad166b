"""A run is seen from outside while it is written, and no look needs another file or a lock."""

import json
from pathlib import Path

import pytest

from harness.measure.samples import Phase, SampleFile, Word
from harness.results.store import Store
from harness.track.live import Watched, sample_head, status_document
from harness.track.reporter import PROGRESS
from tests.track.events import BEGUN_S, event, phase, started
from tests.track.stored import a_running_run, a_timed_run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_running_run_shows_its_step_and_the_iterations_of_its_sample_file(store: Store) -> None:
    run = a_running_run(store, started(0, 100), phase(0.0, "setup"), phase(1.0, "measure", iterations=100))
    samples = SampleFile(run.folder / "samples.bin", create=True)
    samples.enter(Phase.MEASURE)
    samples.words[Word.COMPLETED] = 25
    samples.close()
    look = Watched(run.folder).look(BEGUN_S + 6.0)
    assert look.progress is not None
    assert (look.progress.name, look.progress.done, look.progress.units) == ("measure", 25, 100)
    assert look.progress.step_eta_s == pytest.approx(15.0)
    assert not look.ended


def test_iterations_of_another_phase_are_not_those_of_the_step(store: Store) -> None:
    run = a_running_run(store, started(3, 100), phase(0.0, "measure", iterations=100))
    samples = SampleFile(run.folder / "samples.bin", create=True)
    samples.enter(Phase.WARMUP)
    samples.words[Word.COMPLETED] = 3
    samples.close()
    look = Watched(run.folder).look(BEGUN_S + 6.0)
    assert look.progress is not None
    assert look.progress.done == 0


def test_a_file_that_is_no_sample_file_counts_nothing(tmp_path: Path) -> None:
    assert sample_head(tmp_path / "none") == (None, 0)
    (tmp_path / "other").write_bytes(bytes(4096))
    assert sample_head(tmp_path / "other") == (None, 0)


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(store: Store) -> None:
    run = a_running_run(store, started(0, 1), phase(0.0, "setup"))
    line = json.dumps(phase(1.0, "measure", iterations=1))
    watched = Watched(run.folder)
    with (run.folder / "events.jsonl").open("a") as file:
        file.write(line[:20])
        file.flush()
        first = watched.look(BEGUN_S + 2)
        file.write(line[20:] + "\n")
    second = watched.look(BEGUN_S + 2)
    assert first.progress is not None
    assert second.progress is not None
    assert (first.progress.name, second.progress.name) == ("setup", "measure")
    assert second.broken_lines == 0


def test_a_torn_line_in_the_middle_is_counted_and_passed_over(store: Store) -> None:
    """Trap: one torn line breaks robot_sf's replay of all others."""
    run = a_running_run(store, started(0, 1), phase(0.0, "setup"))
    with (run.folder / "events.jsonl").open("a") as file:
        file.write('{"time": "2026-\n' + json.dumps(phase(1.0, "measure", iterations=1)) + "\n")
    look = Watched(run.folder).look(BEGUN_S + 2)
    assert look.progress is not None
    assert look.progress.name == "measure"
    assert look.broken_lines == 1


def test_what_troubles_a_run_and_its_last_sensors_are_seen(store: Store) -> None:
    warning = {**event(2.0, "iteration.failed", message="bad"), "level": "warning"}
    told = event(1.0, PROGRESS, sensors={"tree.rss_mb": 12.0}, rate_per_s=2.5)
    run = a_running_run(store, started(0, 1), phase(0.0, "measure", iterations=1), told, warning)
    document = status_document(Watched(run.folder).look(BEGUN_S + 3))
    assert document["sensors"] == {"tree.rss_mb": 12.0}
    assert document["rate_per_s"] == 2.5
    assert [each["event"] for each in document["troubles"]] == ["iteration.failed"]


def test_a_run_that_ended_shows_its_steps_and_no_progress(store: Store) -> None:
    run = a_timed_run(store, {"setup": 1.0, "warmup": 3.0, "measure": 10.0, "report": 1.0})
    document = status_document(Watched(run.folder).look(BEGUN_S + 1000))
    assert document["progress"] is None
    assert [step["duration_s"] for step in document["steps"]] == [1.0, 3.0, 10.0, 1.0]
    assert document["last_completed_step"] == "judge and store"
