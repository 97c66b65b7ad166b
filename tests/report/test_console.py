import io
from pathlib import Path
from typing import Any

from harness.report.console import print_run, print_suite
from tests.report.test_tables import job
from tests.results.documents import a_result


def printed(result: dict[str, Any]) -> str:
    out = io.StringIO()
    print_run(result, Path("outputs/runs/x"), out)
    return out.getvalue()


def test_a_run_prints_its_table_its_verdict_and_where_its_files_are() -> None:
    rules = [
        {"metric": "step.latency_ms", "stat": "p95", "critical": "> 12.3"},
        {"metric": "step.latency_ms", "stat": "max", "critical": "> 500"},
    ]
    text = printed(a_result(rules=rules))
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["metric", "unit", "n"]
    assert lines[2].startswith("step.latency_ms")
    assert "rollback on cpu: completed, 10 of 10 iterations in 2.50 s" in lines
    assert "verdict: fail (1 of 2 rules passed), exit code 1" in lines
    assert "  fail: step.latency_ms p95 12.5 ms (n=10) reaches critical > 12.3" in lines
    assert "max" not in text.split("verdict:")[1].split("files:")[0]
    assert lines[-1] == "files: outputs/runs/x"


def test_an_unstable_run_says_what_to_try() -> None:
    text = printed(a_result(measured={"step.latency_ms": [10.0, 30.0, 20.0]}))
    assert "  warning: 1 metric unstable (standard deviation over mean): step.latency_ms 50 %" in text
    assert "try a larger measure.iterations" in text
    assert "verdict: none, exit code 0\n  no envelope" in text


def test_a_failed_run_says_why() -> None:
    error = {"iteration": None, "phase": "setup", "type": "ImportError", "message": "no x", "traceback": ""}
    run = {"status": "failed", "reason": {"kind": "error", "message": "ImportError: no x"}}
    text = printed(a_result(run, measured={}, errors=[error]))
    assert text.startswith("\nrollback on cpu: failed")
    assert "  reason: error: ImportError: no x" in text
    assert "  error: setup: ImportError: no x" in text


def test_a_suite_prints_one_table_and_counts_its_outcomes() -> None:
    out = io.StringIO()
    jobs = [job(), job(verdict="fail"), job(), job(status="skipped", verdict=None)]
    print_suite(jobs, "suite=rc1", out)
    assert out.getvalue().splitlines()[-1] == "suite=rc1: 4 jobs: 1 fail, 2 pass, 1 skipped"


def test_many_errors_are_counted_rather_than_all_printed() -> None:
    error = {"iteration": 1, "phase": "measure", "type": "ValueError", "message": "no", "traceback": ""}
    text = printed(a_result(errors=[error] * 5, failed=5))
    assert text.count("  error: measure: ValueError: no") == 3
    assert "  and 2 more errors, in report.md and result.json" in text


def test_everything_goes_to_standard_output_unless_told_otherwise(capsys: Any) -> None:
    print_run(a_result(), Path("x"))
    print_suite([job()], "suite")
    assert "files: x" in capsys.readouterr().out
