"""The smoke tests print a row a scenario with its change, and what it was compared with."""

from harness.report.perf_tests import perf_tests_text
from harness.results.perf_tests import entry, results


def test_a_row_shows_the_change_and_the_last_line_the_whole() -> None:
    facts = {"throughput.per_s": 5.0, "throughput.expected": 8.0, "throughput.source": "baseline r0"}
    entries = [entry("rollback", "regression", "slow", facts=facts), entry("command", "skipped", "rollback ended it")]
    text = perf_tests_text(
        results(entries, suite="perf", host="h", tolerance=0.25, limit_s=600.0, duration_s=12.0)
    ).splitlines()
    assert text[1].split() == ["rollback", "regression", "5", "8", "-37.5", "%", "0.00", "s", "baseline", "r0"]
    assert text[2].endswith("rollback ended it")
    assert text[-1] == "perf: regression, exit code 1, after 12.00 s"
