"""Suites and comparisons are a line each, whatever there is to tell of them."""

from pathlib import Path

from harness.report.records import records_table
from harness.results.listing import rows
from harness.results.records import COMPARISON, SUITE, Named, folder_of
from tests.results.stored_records import a_comparison, a_stored_suite, an_id, path_of
from tests.results.suites import a_suite, ended


def test_a_suite_is_a_line_with_its_jobs_and_what_failed(tmp_path: Path) -> None:
    record = ended(ended(a_suite(tmp_path), 0), 1, status="failed", exit_code=3, result=None)
    record.end("completed", 3)
    heading, line = records_table(SUITE, rows(tmp_path, SUITE)).splitlines()
    assert heading.split("  ")[0] == "suite"
    assert line.startswith(f"{record.suite_id}  {record.document['created_at'][:10]} ")
    assert line.endswith("nightly  completed  1 of 2 done, 1 failed  none     2.50 s")


def test_a_comparison_is_a_line_with_both_sides_the_answer_and_its_interval(tmp_path: Path) -> None:
    found = a_comparison(tmp_path, an_id(1, "ab-function-000001"))["decision"]
    _, line = records_table(COMPARISON, rows(tmp_path, COMPARISON)).splitlines()
    interval = f"{100 * found['estimate']:+.2f} % [{100 * found['low']:+.2f} %, {100 * found['high']:+.2f} %]"
    assert "2027-05-31 00:00:00  ab    function  as configured  seed=1  same    " in line
    assert f"{interval} of iteration.duration_ms" in line


def test_a_long_command_does_not_push_the_answer_away(tmp_path: Path) -> None:
    row = rows_of_one(tmp_path)
    text = records_table(COMPARISON, [{**row, "b": "command " + "x" * 500}])
    assert "command " + 31 * "x" + "…" in text
    assert max(map(len, text.splitlines())) < 250


def test_a_cancelled_or_unfinished_comparison_is_called_that(tmp_path: Path) -> None:
    row = rows_of_one(tmp_path)
    assert "  cancelled  " in records_table(COMPARISON, [{**row, "status": "cancelled", "answer": "undecided"}])
    (folder_of(tmp_path, COMPARISON, an_id(0, "ab-function-000002")) / "arms").mkdir(parents=True)
    assert "  unfinished  " in records_table(COMPARISON, rows(tmp_path, COMPARISON, last=1))


def rows_of_one(outputs: Path) -> dict[str, object]:
    a_comparison(outputs, an_id(1, "ab-function-000001"))
    (row,) = rows(outputs, COMPARISON)
    return row


def test_what_cannot_be_read_says_so_in_its_line_and_what_to_do(tmp_path: Path) -> None:
    suite_id = an_id(1, "suite.nightly-000001")
    a_stored_suite(tmp_path, suite_id)
    path_of(tmp_path, Named(SUITE, suite_id)).write_text("{")
    _, line, hint = records_table(SUITE, rows(tmp_path, SUITE)).splitlines()
    assert line.startswith(f"{suite_id}  2027-05-31 00:00:00")
    assert "  cannot be read  " in line
    assert hint == f"{suite_id} cannot be read; `python -m harness verify {suite_id}` says what is wrong"
