from typing import Any

import pytest

from harness.measure.instrument import InstrumentError
from harness.report.tables import metrics_table, render, rules_table, suite_table
from tests.results.documents import a_result


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_metric_has_its_numbers_their_interval_and_what_to_be_wary_of() -> None:
    result = a_result(
        measured={"step.latency_ms": [10.0, 11.0, 10.5, 10.2, 10.9, 10.4, 30.0], "step.late_total": [1.0]}
    )
    heading, _, first, second = metrics_table(result, "pipe").splitlines()
    assert cells(heading) == ["metric", "unit", "n", "mean ± 95 % CI", "p50", "p95", "p99", "warnings"]
    assert cells(first)[:3] == ["step.late_total", "1", "1"]
    assert cells(first)[3:] == ["1", "1", "1", "1", ""]
    assert cells(second)[0] == "step.latency_ms"
    assert cells(second)[3].startswith("13.29 ± ")
    assert cells(second)[-1] == "unstable, 1 outlier"


def test_rules_show_value_interval_and_limits() -> None:
    rules = [
        {"metric": "step.latency_ms", "stat": "p50", "by": "interval", "warning": "> 400", "critical": "> 500"},
        {"event": "run.failed", "critical": "> 0"},
    ]
    lines = rules_table(a_result(rules=rules)["verdict"], "pipe").splitlines()
    assert cells(lines[2]) == [
        "pass",
        "step.latency_ms p50",
        "12 ms",
        "10",
        "[11.75, 12.50]",
        "> 400",
        "> 500",
        "interval",
    ]
    assert cells(lines[3]) == ["pass", "run.failed count", "0", "-", "-", "-", "> 0", "sample"]


def job(**changes: Any) -> dict[str, Any]:
    """The manifest of a job, as far as a suite's table reads it."""
    plain = {
        "scenario": "rollback",
        "overrides": ["scenario=rollback", "device=cpu", "model=linear"],
        "status": "completed",
        "reason": None,
        "verdict": "pass",
        "duration_s": 2.5,
        "headline": {
            "metric": "step.latency_ms",
            "unit": "ms",
            "n": 10,
            "mean": 12.0,
            "p50": 12.0,
            "p95": 13.0,
            "p99": 13.0,
        },
        "run_id": "20261122T101500Z-rollback-1f09ab",
    }
    return {**plain, **changes}


def test_a_suite_has_a_row_a_job_and_shows_only_what_differs() -> None:
    other = job(
        overrides=["scenario=rollback", "device=cpu", "model=mlp"],
        status="failed",
        reason={"kind": "timeout", "message": "late"},
        verdict=None,
        duration_s=None,
        headline=None,
    )
    heading, _, first, second = suite_table([job(), other], "pipe").splitlines()
    assert cells(heading) == ["scenario", "overrides", "status", "verdict", "time", "key metric", "run"]
    assert cells(first)[:5] == ["rollback", "model=linear", "completed", "pass", "2.50 s"]
    assert cells(first)[5] == "step.latency_ms p50 12 ms (n=10)"
    assert cells(second)[:6] == ["rollback", "model=mlp", "failed (timeout)", "-", "-", "-"]


def test_a_single_job_differs_from_nothing() -> None:
    assert cells(suite_table([job()], "pipe").splitlines()[2])[1] == "-"


@pytest.mark.parametrize("style", ["simple", "pipe"])
def test_no_cell_can_break_a_table(style: Any) -> None:
    table = render(("a", "b"), [["x|y", "two\nlines"], ["001", "1e5"]], style)
    assert len(table.splitlines()) == 4
    assert "two lines" in table
    assert "001" in table
    assert "1e5" in table
    assert ("x\\|y" in table) == (style == "pipe")


def test_an_empty_suite_is_its_heading() -> None:
    assert "scenario" in suite_table([], "simple")


def test_the_error_of_the_instrument_has_a_column_where_it_is_known() -> None:
    known = {"step.latency_ms": InstrumentError(0.25, "replayed")}
    measured = {"step.latency_ms": [10.0, 10.5], "step.late_total": [1.0]}
    heading, _, first, second = metrics_table(a_result(measured=measured, instrument=known), "pipe").splitlines()
    assert cells(heading)[3:6] == ["mean ± 95 % CI", "instrument", "p50"]
    assert (cells(first)[4], cells(second)[4]) == ("-", "± 0.25")


def test_what_is_not_measurable_is_marked() -> None:
    known = {"step.latency_ms": InstrumentError(4.0, "replayed")}
    table = metrics_table(a_result(measured={"step.latency_ms": [10.0, 10.5]}, instrument=known), "pipe")
    assert cells(table.splitlines()[2])[4] == "± 4 (not measurable)"
