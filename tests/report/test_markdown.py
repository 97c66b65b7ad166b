from harness.report.markdown import run_report
from tests.results.documents import a_result

FAIL = {"metric": "step.latency_ms", "stat": "p95", "critical": "> 12.3"}
ERROR = {
    "iteration": 2,
    "phase": "measure",
    "type": "ValueError",
    "message": "no\nway",
    "traceback": "Trace\n```\nback\n",
}


def test_a_report_holds_everything_about_a_run() -> None:
    text = run_report(a_result(rules=[FAIL], errors=[ERROR], failed=1, warnings=["the host was | busy"]))
    assert text.startswith("# rollback on cpu: fail\n")
    for part in (
        "Run `20261122T101500Z-rollback-1f09ab`, model linear. Status completed, exit code 1.",
        "Started 2026-11-22 10:15:00 UTC, took 2.50 s.",
        "10 of 10 iterations after 3 to warm up, 1 failed.",
        "## Metrics",
        "## Verdict: fail",
        "- fail: step.latency_ms p95 12.5 ms (n=10) reaches critical > 12.3",
        "- 1 of 10 iterations failed",
        "## Events",
        "- the host was | busy",
        "## Errors (1)",
        "**measure 2: ValueError: no way**",
        "## Telemetry",
        "no-library: no driver",
        "## Environment",
        "cpu.cores",
        "- overrides: scenario=rollback",
    ):
        assert part in text, part


def test_a_traceback_cannot_end_its_own_block() -> None:
    text = run_report(a_result(errors=[ERROR]))
    assert "````\nTrace\n```\nback\n````" in text


def test_a_run_that_measured_nothing_says_so_and_why() -> None:
    run = {"status": "failed", "reason": {"kind": "timeout", "message": "not done\nin time"}, "contended": True}
    text = run_report(a_result(run, measured={}, telemetry={}, environment={}))
    assert "Nothing was measured." in text
    assert "Reason: timeout: not done in time" in text
    assert "Contended" in text
    assert "## Telemetry" not in text
    assert "## Environment" not in text
