"""What a finished run and a finished suite print."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from harness.report.markdown import said_resumed
from harness.report.numbers import duration
from harness.report.recommendations import advice_lines
from harness.report.tables import metrics_table, suite_table

_MOST_ERRORS = 3


def print_run(document: Mapping[str, Any], folder: Path, stream: TextIO | None = None) -> None:
    """The table of a run, its verdict with each rule that is no pass, warnings, and where the files lie."""
    out = stream or sys.stdout
    if document["metrics"]:
        print(metrics_table(document, "simple"), file=out)
    iterations, verdict = document["iterations"], document["verdict"]
    took = f"{iterations['completed']} of {iterations['planned']} iterations in {duration(document['duration_s'])}"
    print(f"\n{document['scenario']} on {document['device']}: {document['status']}, {took}", file=out)
    if document.get("resumed"):
        print(f"  {said_resumed(document)}", file=out)
    if document["reason"] is not None:
        print(f"  reason: {document['reason']['kind']}: {document['reason']['message']}", file=out)
    errors = document["errors"]
    for error in errors[:_MOST_ERRORS]:
        print(f"  error: {error['phase']}: {error['type']}: {error['message']}", file=out)
    if len(errors) > _MOST_ERRORS:
        print(f"  and {len(errors) - _MOST_ERRORS} more errors, in report.md and result.json", file=out)
    for warning in document["warnings"]:
        print(f"  warning: {warning}", file=out)
    print_verdict(verdict, document["exit_code"], out)
    for line in advice_lines(document):
        print(f"  {line}", file=out)
    print(f"files: {folder}", file=out)


def print_verdict(verdict: Mapping[str, Any], exit_code: int, stream: TextIO | None = None) -> None:
    """The level with how many rules passed, then each rule that did not, then the verdict's messages."""
    out = stream or sys.stdout
    rules = verdict["rules"]
    passed = sum(rule["level"] == "pass" for rule in rules)
    counted = f" ({passed} of {len(rules)} rules passed)" if rules else ""
    print(f"verdict: {verdict['level']}{counted}, exit code {exit_code}", file=out)
    for rule in rules:
        if rule["level"] != "pass":
            print(f"  {rule['level']}: {rule['message']}", file=out)
    for message in verdict["messages"]:
        print(f"  {message}", file=out)


def print_suite(manifests: Sequence[Mapping[str, Any]], name: str, stream: TextIO | None = None) -> None:
    """One table with a row a job, and how many ended how."""
    out = stream or sys.stdout
    print(suite_table(manifests, "simple"), file=out)
    counts: dict[str, int] = {}
    for job in manifests:
        key = str(job["verdict"] or job["status"]) if job["status"] == "completed" else str(job["status"])
        counts[key] = counts.get(key, 0) + 1
    said = ", ".join(f"{count} {key}" for key, count in sorted(counts.items()))
    print(f"\n{name}: {len(manifests)} job{'s' if len(manifests) != 1 else ''}: {said}", file=out)
