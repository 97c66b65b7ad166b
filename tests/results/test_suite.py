"""The record of a suite says at every moment what is left to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import StorageRefused, StoreLost
from harness.results import records, suite
from harness.results.canonical import digest
from tests.results.suites import a_suite, ended

ROOT = Path(__file__).resolve().parents[2]


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    record = ended(a_suite(tmp_path), 0)
    again = suite.load(tmp_path, record.suite_id)
    assert again.document == record.document
    content = {key: value for key, value in again.document.items() if key != "digest"}
    assert again.document["digest"] == digest(content)


def test_it_is_finished_when_every_job_came_to_an_end(tmp_path: Path) -> None:
    record = ended(a_suite(tmp_path), 0)
    assert not record.is_finished
    ended(record, 1, status="failed", exit_code=3, result=None)
    assert record.is_finished


@pytest.mark.parametrize(("status", "code"), [("failed", 2), ("skipped", 3), ("cancelled", 130)])
def test_a_job_that_was_refused_skipped_or_cancelled_is_left_to_do(status: str, code: int, tmp_path: Path) -> None:
    record = ended(ended(a_suite(tmp_path), 0), 1, status=status, exit_code=code, run_id=None, result=None)
    assert not record.is_finished


def test_a_refused_job_keeps_the_run_that_it_had_begun(tmp_path: Path) -> None:
    """The trap: what it had measured could never be gone on with."""
    record = a_suite(tmp_path)
    record.begin_job(0, "run-0")
    record.end_job(0, status="failed", exit_code=2, run_id=None, result=None, message="other software")
    assert record.jobs[0]["run_id"] == "run-0"


def test_a_suite_lives_as_long_as_its_process(tmp_path: Path) -> None:
    assert a_suite(tmp_path).is_alive
    program = (
        "import sys; from pathlib import Path; from tests.results.suites import a_suite; a_suite(Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "other")], env=environment, check=True)
    (suite_id,) = records.ids(tmp_path / "other", records.SUITE)
    assert not suite.load(tmp_path / "other", suite_id).is_alive


def test_the_suite_of_a_run_is_found(tmp_path: Path) -> None:
    record = a_suite(tmp_path)
    record.begin_job(1, "run-1")
    found = suite.of_run(tmp_path, "run-1")
    assert found is not None
    assert found.suite_id == record.suite_id
    assert suite.of_run(tmp_path, "run-2") is None


def test_a_suite_that_was_killed_before_its_record_was_whole_is_in_nobody_s_way(tmp_path: Path) -> None:
    folder = tmp_path / "suites" / "20261122T101500Z-suite.nightly-000001"
    folder.mkdir(parents=True)
    (folder / f".{suite.NAME}.1.tmp").touch()
    assert suite.of_run(tmp_path, "run-1") is None


def test_a_record_that_somebody_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    record = a_suite(tmp_path)
    path = record.folder / suite.NAME
    path.write_text(path.read_text().replace("scenario=one", "scenario=two"))
    with pytest.raises(StoreLost, match="is not what was stored"):
        suite.load(tmp_path, record.suite_id)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "suites").write_text("a file where the folder should be")
    with pytest.raises(StorageRefused, match="the record of the suite cannot be written"):
        a_suite(tmp_path)


def test_a_record_of_a_newer_harness_is_not_guessed_at(tmp_path: Path) -> None:
    record = a_suite(tmp_path)
    path = record.folder / suite.NAME
    path.write_text(json.dumps({**record.document, "schema": "harness.suite/9"}))
    with pytest.raises(StoreLost, match="reads up to"):
        suite.load(tmp_path, record.suite_id)
