"""`summary`: what was measured in a time, counted by scenario, status and verdict."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from harness import paths
from harness.cli.results import add_filters, matching, tell_recovered
from harness.report.columns import columns, pipes
from harness.report.numbers import duration, number
from harness.results.history import History
from harness.results.overview import overview
from harness.results.times import said

_HEADINGS = ("scenario", "runs", "statuses", "verdicts", "time", "worst errors", "newest", "median", "metric")


def main(argv: Sequence[str]) -> int:
    """Prints the summary of the runs that match; 0."""
    parser = argparse.ArgumentParser(
        prog="python -m harness summary",
        description="Counts the stored runs that match, by scenario, status and verdict. Times are UTC.",
    )
    add_filters(parser, None)
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text", help="text, json or markdown")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    options = parser.parse_args(argv)
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        document = overview(matching(history, options))
    finally:
        history.close()
    if options.json or options.format == "json":
        from harness.results.canonical import pretty

        print(pretty(document).decode(), end="")
    else:
        print(_text(document, markdown=options.format == "markdown"))
    return 0


def _text(document: Mapping[str, Any], *, markdown: bool) -> str:
    if not document["runs"]:
        return "no run matches"
    head = [
        f"{document['runs']} runs from {said(document['from'])} to {said(document['to'])} UTC "
        f"on {', '.join(document['hosts']) or 'unnamed hosts'}, {duration(document['measured_s'])} in all",
        f"status: {_counts(document['statuses'])}; verdict: {_counts(document['verdicts'])}; "
        f"pinned: {document['pinned']}",
    ]
    eta = document["eta"]
    if eta["runs"]:
        head.append(
            f"ETA after the second step: within 20 % in {eta['within_20pct']} of {eta['runs']} runs, "
            f"median error {eta['median_error_percent']:.0f} %"
        )
    table = pipes if markdown else columns
    sections = ["\n".join(head), table(_HEADINGS, [_row(found) for found in document["scenarios"]])]
    if document["troubled"]:
        rows = [
            [row["run_id"], said(row["created_at"]), row["status"], row["verdict"] or "-"]
            for row in document["troubled"]
        ]
        sections.append(f"to look at: {document['troubled_total']} failed or crashed, or broke a rule")
        sections.append(table(("run", "created (UTC)", "status", "verdict"), rows))
    return "\n\n".join(sections)


def _row(found: Mapping[str, Any]) -> list[str]:
    rate = found["worst_error_rate"]
    return [
        found["scenario"],
        str(found["runs"]),
        _counts(found["statuses"]),
        _counts(found["verdicts"]),
        duration(found["measured_s"]),
        "-" if rate is None else f"{100 * rate:.3g} %",
        number(found["newest_p50"]),
        number(found["median_p50"]),
        f"{found['metric']} p50, {found['unit']}" if found["metric"] else "-",
    ]


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.items()) or "-"
