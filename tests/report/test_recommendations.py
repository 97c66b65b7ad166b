"""Advice is said with its evidence and action, and a missing baseline is said too."""

from typing import Any

from harness.report.markdown import run_report
from harness.report.recommendations import advice_lines, recommendations_section
from harness.track.recommend import load_rules, recommend
from tests.results.documents import a_result


def advised(expected: dict[str, Any] | None, **parts: Any) -> dict[str, Any]:
    document = a_result(measured={"iteration.duration_ms": [20.0] * 20}, **parts)
    return document | recommend(document, load_rules(), expected)


def test_a_result_from_before_there_was_advice_has_none() -> None:
    assert advice_lines(a_result()) == []
    assert recommendations_section(a_result()) == ""


def test_each_piece_of_advice_names_issue_evidence_and_action() -> None:
    (line,) = advice_lines(advised({"per_s": 100.0, "source": "baseline r0", "metrics": None}))
    assert line.startswith(
        "advice: warning: the throughput is 50 % under what is expected (50 iterations/s, expected 100"
    )
    assert line.endswith("baseline save last`.")


def test_where_there_is_no_baseline_that_is_said() -> None:
    assert advice_lines(advised(None)) == [
        "throughput: not compared, as there is no baseline and no documented default"
    ]
    default = {"per_s": 45.0, "source": "documented default, no baseline", "metrics": None}
    assert advice_lines(advised(default)) == [
        "throughput: compared with 45 iterations/s (documented default, no baseline)"
    ]


def test_the_report_lists_recommendations_and_anomalies_of_an_aborted_run() -> None:
    reason = {"kind": "timeout", "message": "late"}
    report = run_report(advised(None, run={"status": "failed", "reason": reason}, failed=2))
    assert "- critical: the run was ended at its time limit" in report
    assert "- the run is failed: timeout: late" in report
    assert "- 2 iterations failed" in report
