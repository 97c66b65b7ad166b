import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.journal.lines import Journal, read_journal
from harness.results.canonical import file_digest, pretty
from harness.results.document import seal
from harness.results.store import Store
from harness.results.verify import problems_of
from tests.results.documents import TRACE, a_result, a_run, measured_so_far


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
