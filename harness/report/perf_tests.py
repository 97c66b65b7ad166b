"""What the performance smoke tests print: a row a scenario, then the whole."""

from collections.abc import Mapping
from typing import Any

from harness.report.columns import columns
from harness.report.numbers import duration, number

_HEADINGS = ("scenario", "result", "iterations/s", "expected", "change", "time", "compared with")


def perf_tests_text(document: Mapping[str, Any]) -> str:
    """The table of the document, then its level."""
    rows = [
        [
            each["scenario"],
            each["classification"],
            number(each["throughput_per_s"]),
            number(each["expected_per_s"]),
            _change(each["throughput_per_s"], each["expected_per_s"]),
            duration(each["duration_s"]),
            each["compared_with"] or each["message"],
        ]
        for each in document["scenarios"]
    ]
    whole = f"{document['suite']}: {document['level']}, exit code {document['exit_code']}"
    return f"{columns(_HEADINGS, rows)}\n\n{whole}, after {duration(document['duration_s'])}"


def _change(value: float | None, expected: float | None) -> str:
    return "-" if value is None or not expected else f"{100 * (value / expected - 1):+.1f} %"
