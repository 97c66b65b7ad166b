"""The lists of suites and of comparisons, a line each."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.ab import effect
from harness.report.columns import columns
from harness.report.numbers import duration
from harness.results.listing import UNREADABLE
from harness.results.records import SUITE, Kind
from harness.results.times import said

_SUITES = ("suite", "created (UTC)", "name", "status", "jobs", "verdict", "time")
_COMPARISONS = ("comparison", "created (UTC)", "kind", "scenario", "A", "B", "answer", "effect of B", "time")
_WIDEST = 40  # of what was asked for: a command may be a whole script


def records_table(kind: Kind, rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of these rows of `listing`, and what to do about those that cannot be read."""
    headings, cells = (_SUITES, _suite_cells) if kind is SUITE else (_COMPARISONS, _comparison_cells)
    hints = [
        f"{row[kind.key]} cannot be read; `python -m harness verify {row[kind.key]}` says what is wrong"
        for row in rows
        if row["status"] == UNREADABLE
    ]
    return "\n".join([columns(headings, [cells(row) for row in rows]), *hints])


def _suite_cells(row: Mapping[str, Any]) -> list[str]:
    jobs = "-" if row["jobs"] is None else f"{row['done']} of {row['jobs']} done"
    jobs += f", {row['failed']} failed" if row["failed"] else ""
    words = [row["suite_id"], said(row["created_at"]), row["name"] or "-", _status(row), jobs, row["verdict"] or "-"]
    return [*words, duration(row["duration_s"])]


def _comparison_cells(row: Mapping[str, Any]) -> list[str]:
    words = [row["ab_id"], said(row["created_at"]), *(row[key] or "-" for key in ("kind", "scenario"))]
    sides = [_shortened(row["a"]), _shortened(row["b"])]
    found = "-" if row["estimate"] is None else f"{effect(row)} of {row['metric']}"
    answer = row["answer"] if row["status"] == "completed" else _status(row)
    return [*words, *sides, answer, found, duration(row["duration_s"])]


def _status(row: Mapping[str, Any]) -> str:
    return "cannot be read" if row["status"] == UNREADABLE else str(row["status"])


def _shortened(text: str | None) -> str:
    text = text or "-"
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
