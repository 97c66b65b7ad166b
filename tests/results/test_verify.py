import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.journal.lines import Journal, read_journal
from harness.results.canonical import file_digest, pretty
from harness.results.document import seal
from harness.results.records import COMPARISON, SUITE, Named
from harness.results.retention import remove
from harness.results.store import Store
from harness.results.verify import problems_of, record_notes, record_problems
from tests.results.documents import TRACE, a_result, a_run, a_stored_run, measured_so_far
from tests.results.stored_records import a_comparison, a_stored_suite, an_id, path_of


def events_in(folder: Path, count: int) -> None:
    """A journal with so many valid events."""
    journal = Journal(folder / "events.jsonl")
    for i in range(count):
        fixed = {"time": "2026-11-22T10:15:00.000000Z", "seq": i, "trace_id": TRACE, "level": "info"}
        journal.append({**fixed, "event": "step.ended", "iteration": i})
    journal.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a finished run with everything in it."""
    store = Store(tmp_path)
    run = a_run(store)
    measured_so_far(run.folder, 5)
    events_in(run.folder, 4)
    result = a_result({"run_id": run.run_id}, samples_digest=file_digest(run.folder / "samples.bin"))
    store.finish(result, report="# report\n")
    store.close()
    return run.folder


def test_an_untouched_run_holds(folder: Path) -> None:
    assert problems_of(folder, read_journal) == []


def changed(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """A damage: one JSON document of the folder with a change made to it."""

    def damage(folder: Path) -> None:
        document = json.loads((folder / name).read_bytes())
        change(document)
        (folder / name).write_bytes(pretty(document))

    return damage


def resealed(folder: Path) -> None:
    """Someone who changes a result and knows how to seal it, but not the other documents."""
    result = json.loads((folder / "result.json").read_bytes())
    result["metrics"]["step.latency_ms"]["statistics"]["p95"] = 1.0
    (folder / "result.json").write_bytes(pretty(seal(result)))


def flipped(folder: Path) -> None:
    content = bytearray((folder / "samples.bin").read_bytes())
    content[70_000 % len(content)] ^= 1
    (folder / "samples.bin").write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a sample": (
        changed("result.json", lambda d: d["metrics"]["step.latency_ms"]["samples"].__setitem__(0, 1.0)),
        "result.json: its content does not have the digest",
    ),
    "the verdict": (changed("result.json", lambda d: d["verdict"].update(level="pass")), "result.json: its content"),
    "the configuration": (changed("result.json", lambda d: d["config"].update(x=1)), "its configuration does not"),
    "a type": (changed("result.json", lambda d: d.update(exit_code="0")), "result.json: exit_code: '0' is not one of"),
    "a sealed change": (resealed, "rollback_metrics.json: differs from the result"),
    "a bit of the samples": (flipped, "samples.bin: its bytes do not have the digest"),
    "no samples": (lambda folder: (folder / "samples.bin").unlink(), "samples.bin: is missing"),
    "no result": (lambda folder: (folder / "result.json").unlink(), "result.json: is missing"),
    "no report": (lambda folder: (folder / "report.md").unlink(), "report.md: is listed in the manifest and missing"),
    "a torn result": (lambda folder: (folder / "result.json").write_text('{"sch'), "result.json: cannot read"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "manifest.json: cannot read"),
    "the manifest's status": (
        changed("manifest.json", lambda d: d.update(status="done")),
        "manifest.json: status: 'done'",
    ),
    "the exit code": (
        changed("manifest.json", lambda d: d.update(exit_code=1)),
        "exit_code is 0, and the manifest says 1",
    ),
    "the run": (changed("manifest.json", lambda d: d.update(run_id="x")), "manifest.json: run_id is x"),
    "a number in short": (
        changed("rollback_metrics.json", lambda d: d["metrics"]["step.latency_ms"].update(n=11)),
        "rollback_metrics.json: differs",
    ),
    "a torn event": (lambda folder: (folder / "events.jsonl").open("ab").write(b'{"se'), "events.jsonl: 1 torn line"),
    "a lost event": (
        lambda folder: (folder / "events.jsonl").write_bytes(
            b"".join((folder / "events.jsonl").read_bytes().splitlines(True)[1:])
        ),
        "events.jsonl: its events are not numbered",
    ),
    "a wrong event": (
        lambda folder: (folder / "events.jsonl").open("ab").write(b'{"seq": 4, "level": "loud"}\n'),
        "events.jsonl: seq 4: level: 'loud' is not one of",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_each_damage_is_found_and_named(damage: str, folder: Path) -> None:
    act, message = DAMAGES[damage]
    act(folder)
    found = problems_of(folder, read_journal)
    assert any(message in problem for problem in found), found


def test_a_crashed_run_may_have_a_torn_event_and_no_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = a_run(store)
    events_in(run.folder, 2)
    with (run.folder / "events.jsonl").open("ab") as file:
        file.write(b'{"time": "20')
    store.close_run(run.run_id, "crashed", exit_code=3, reason={"kind": "lost", "message": "gone"})
    assert problems_of(run.folder, read_journal) == []
    store.close()


SUITE_ID = an_id(1, "suite.nightly-000001")
AB_ID = an_id(1, "ab-function-000001")


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A store with a suite of one run, and a comparison."""
    store = Store(tmp_path)
    run_id = a_stored_run(store)[1]["run_id"]
    store.close()
    a_stored_suite(tmp_path, SUITE_ID, [run_id])
    a_comparison(tmp_path, AB_ID)
    return tmp_path


@pytest.mark.parametrize("named", [Named(SUITE, SUITE_ID), Named(COMPARISON, AB_ID)])
def test_untouched_suites_and_comparisons_hold(named: Named, outputs: Path) -> None:
    assert record_problems(outputs, named) == []
    assert record_notes(outputs, named) == []


def replaced(old: str, new: str) -> Callable[[Path], object]:
    """A damage: other text in a document."""
    return lambda path: path.write_text(path.read_text().replace(old, new, 1))


RECORD_DAMAGES: dict[str, tuple[Named, Callable[[Path], object], str]] = {
    "the verdict": (
        Named(COMPARISON, AB_ID),
        replaced('"level": "same"', '"level": "faster"'),
        "ab.json: its content does not have the digest",
    ),
    "a type": (Named(COMPARISON, AB_ID), replaced('"exit_code": 0', '"exit_code": "0"'), "ab.json: exit_code: '0'"),
    "no report": (
        Named(COMPARISON, AB_ID),
        lambda path: path.with_name("report.md").unlink(),
        "report.md: is missing",
    ),
    "no document": (Named(COMPARISON, AB_ID), lambda path: path.unlink(), "ab.json: cannot read"),
    "a job": (Named(SUITE, SUITE_ID), replaced('"status": "completed"', '"status": "done"'), "suite.json: status: "),
    "an override": (Named(SUITE, SUITE_ID), replaced("scenario=one", "scenario=two"), "suite.json: its content"),
    "the id": (Named(SUITE, SUITE_ID), replaced(SUITE_ID, "x"), f"suite_id is x, and the folder is {SUITE_ID}"),
    "a torn record": (Named(SUITE, SUITE_ID), lambda path: path.write_text('{"sch'), "suite.json: cannot read"),
    "an empty record": (
        Named(SUITE, SUITE_ID),
        lambda path: path.write_text('{"schema": "harness.suite/1"}'),
        "suite.json: suite: 'suite_id' is a required property",
    ),
}


@pytest.mark.parametrize("damage", RECORD_DAMAGES)
def test_each_damage_of_a_suite_or_comparison_is_found_and_named(damage: str, outputs: Path) -> None:
    named, act, message = RECORD_DAMAGES[damage]
    act(path_of(outputs, named))
    found = record_problems(outputs, named)
    assert any(message in problem for problem in found), found


def test_a_run_that_prune_took_is_a_note_and_no_problem_of_its_suite(outputs: Path) -> None:
    (run,) = (outputs / "runs").iterdir()
    remove(outputs, [run.name])
    named = Named(SUITE, SUITE_ID)
    assert record_problems(outputs, named) == []
    assert record_notes(outputs, named) == [f"{run.name}, one of its runs, is no longer stored"]


def test_a_comparison_that_still_runs_has_nothing_to_hold(outputs: Path) -> None:
    named = Named(COMPARISON, AB_ID)
    path_of(outputs, named).unlink()
    path_of(outputs, named).with_name("report.md").unlink()
    (path_of(outputs, named).parent / "arms").mkdir()
    assert record_problems(outputs, named) == []
    assert record_notes(outputs, named) == ["it has no report yet: it still runs, or was cut short"]


def test_a_request_that_does_not_fit_its_schema_is_told_with_its_line(folder: Path) -> None:
    kept = folder / "requests.jsonl"
    kept.write_text('{"phase": "measure", "iteration": 0}\n')
    assert problems_of(folder, read_journal) == []  # of before there was a schema
    kept.write_text('{"schema": "harness.request/1", "phase": "measure", "iteration": -1}\n{"schema"')
    found = problems_of(folder, read_journal)
    assert "requests.jsonl: 1 torn line" in found
    assert any(line.startswith("requests.jsonl: line 1: iteration: -1") for line in found)
