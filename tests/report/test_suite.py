"""A stored suite is told as it was told when it ended."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.report.suite import print_ended, print_stored
from tests.results.documents import a_result
from tests.results.suites import JOBS, a_suite


class AJob(NamedTuple):
    scenario: str
    status: str
    overrides: list[str]
    run_id: str | None
    result: Mapping[str, Any] | None
    message: str


def test_the_stored_table_is_the_one_that_was_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = [a_result({"overrides": [f"seed={seed}"]}) for seed in (1, 2)]
    jobs = [
        AJob("one", "completed", ["scenario=one", f"seed={at}"], f"run-{at}", result, "")
        for at, result in enumerate(results)
    ]
    jobs.append(AJob("two", "skipped", ["scenario=one"], None, None, "the time of the suite was over"))
    described = [{**JOBS[0], "scenario": job.scenario, "overrides": job.overrides} for job in jobs]
    record = a_suite(tmp_path, jobs=described)
    for at, job in enumerate(jobs):
        code = 0 if job.result else 3
        record.end_job(at, status=job.status, exit_code=code, run_id=job.run_id, result=job.result, message=job.message)
    record.end("completed", 3)
    print_ended(jobs, "nightly")
    printed = capsys.readouterr().out
    print_stored(record.document, [job.result for job in jobs])
    assert capsys.readouterr().out == printed
    assert "two: skipped: the time of the suite was over" in printed
    assert "Places are shared" in printed


def test_a_suite_whose_runs_are_gone_keeps_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = a_suite(tmp_path)
    record.end_job(0, status="completed", exit_code=0, run_id="run-0", result=a_result(), message="")
    print_stored(record.document, [None, None])
    out = capsys.readouterr().out
    assert "step.latency_ms p50 12 ms (n=10)" in out
    assert "nightly: 2 jobs: 1 none, 1 pending" in out
