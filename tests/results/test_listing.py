"""A suite or comparison is told in one row, and a damaged one too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results import identity
from harness.results.listing import OPEN, UNREADABLE, asked_for, rows
from harness.results.records import COMPARISON, SUITE, Kind, Named, folder_of
from harness.results.times import epoch
from tests.results.stored_records import a_comparison, a_stored_suite, an_id, path_of, stored
from tests.results.suites import a_suite, ended

ROOT = Path(__file__).resolve().parents[2]


def test_a_suite_is_told_by_what_came_of_its_jobs(tmp_path: Path) -> None:
    record = ended(a_suite(tmp_path), 0)
    ended(record, 1, status="failed", exit_code=3, result=None, message="it broke").end("completed", 3)
    (row,) = rows(tmp_path, SUITE)
    expected = {"name": "nightly", "status": "completed", "jobs": 2, "done": 1, "failed": 1, "verdict": "none"}
    assert row == row | expected | {"suite_id": record.suite_id, "duration_s": 2.5, "error": None}
    assert row["created_at"][:19] == record.document["created_at"][:19]


def test_a_suite_runs_as_long_as_its_process_and_has_crashed_then(tmp_path: Path) -> None:
    a_suite(tmp_path)
    assert [row["status"] for row in rows(tmp_path, SUITE)] == ["running"]
    program = (
        "import sys; from pathlib import Path; from tests.results.suites import a_suite; a_suite(Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "other")], env=environment, check=True)
    (row,) = rows(tmp_path / "other", SUITE)
    assert (row["status"], row["verdict"], row["done"]) == ("crashed", None, 0)


def test_of_a_suite_of_another_host_nobody_knows_more_than_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = a_suite(tmp_path)
    changed = {**record.document, "host": "elsewhere", "identity": None}
    stored(tmp_path, SUITE, record.suite_id, changed)
    assert rows(tmp_path, SUITE)[0]["status"] == "running"
    monkeypatch.setattr(identity, "host", lambda: "elsewhere")
    assert rows(tmp_path, SUITE)[0]["status"] == "crashed"


def test_a_comparison_is_told_by_its_answer(tmp_path: Path) -> None:
    document = a_comparison(tmp_path, an_id(1, "ab-function-000001"))
    (row,) = rows(tmp_path, COMPARISON)
    decision = {key: document["decision"][key] for key in ("estimate", "low", "high")}
    expected = {"kind": "ab", "scenario": "function", "a": "as configured", "b": "seed=1", "answer": "same"}
    assert row == row | expected | decision | {"metric": "iteration.duration_ms", "duration_s": 1.0, "error": None}


def test_a_checkout_is_part_of_what_was_asked_for() -> None:
    arm = {"said": "", "checkout": "/there", "git": {"commit": "c0ffee" * 7}}
    assert asked_for(arm) == "as configured in /there at c0ffeec0ffee"
    assert asked_for({**arm, "said": "seed=1", "checkout": None}) == "seed=1"


def test_the_newest_stand_last_and_times_choose_among_them(tmp_path: Path) -> None:
    ids = [an_id(days, f"ab-function-00000{days}") for days in (3, 2, 1)]
    for each in reversed(ids):
        a_comparison(tmp_path, each)
    a_comparison(tmp_path, "copied")

    def listed(**limits: float | int | None) -> list[str]:
        return [row["ab_id"] for row in rows(tmp_path, COMPARISON, **limits)]  # type: ignore[arg-type]

    at = epoch("2027-05-30T00:00:00Z")  # when the second was begun
    assert listed() == [*ids, "copied"]
    assert listed(last=2) == [ids[2], "copied"]
    assert listed(since=at) == ids[1:], "whose time nobody knows is in no span"
    assert listed(until=at) == ids[:1]
    assert listed(since=at, last=1) == ids[2:]


@pytest.mark.parametrize("kind", [SUITE, COMPARISON])
@pytest.mark.parametrize("content", ['{"sch', "[]", '{"schema": "harness.%s/1"}', '{"schema": "harness.%s/9"}', None])
def test_a_damaged_document_is_a_row_that_says_so(kind: Kind, content: str | None, tmp_path: Path) -> None:
    a_stored_suite(tmp_path, an_id(2, "suite.nightly-000001"))
    a_comparison(tmp_path, an_id(2, "ab-function-000001"))
    (before,) = rows(tmp_path, kind)
    path = path_of(tmp_path, Named(kind, before[kind.key]))
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_text(content.replace("%s", kind.schema))
    (row,) = rows(tmp_path, kind)
    assert row.keys() == before.keys()
    assert (row["status"], row["created_at"]) == (UNREADABLE, before["created_at"])
    assert row["error"]


def test_a_comparison_that_was_cut_short_is_unfinished(tmp_path: Path) -> None:
    (folder_of(tmp_path, COMPARISON, an_id(1, "ab-function-000001")) / "arms").mkdir(parents=True)
    (row,) = rows(tmp_path, COMPARISON)
    assert (row["status"], row["answer"]) == (OPEN, None)
