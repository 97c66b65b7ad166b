"""`trend`: one metric over the stored runs of a scenario."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from harness import paths
from harness.cli.results import add_filters, tell_recovered
from harness.report.columns import columns, pipes
from harness.report.numbers import number
from harness.results.history import History
from harness.results.times import said
from harness.results.trend import STATS, trend

_HEADINGS = ("run", "created (UTC)", "host", "n", "value", "% of those before", "", "changed")
_BAR = 24  # characters of the longest bar


def main(argv: Sequence[str]) -> int:
    """Prints the values of a metric, oldest first; 0.

    Raises:
        NotFound: no run matches, or none measured the metric.
    """
    parser = argparse.ArgumentParser(
        prog="python -m harness trend",
        description="Shows one metric over the completed runs of a scenario, oldest first. Each value is held against "
        "the median of the five before it on the same host. See also compare and ab.",
    )
    parser.add_argument("of", metavar="SCENARIO", help="the scenario")
    parser.add_argument("metric", nargs="?", help="the metric; without one, that which stands for a run in lists")
    parser.add_argument("--stat", choices=STATS, default="p50", help="the statistic (default p50)")
    parser.add_argument("--changes", action="store_true", help="says where it last changed (extra stats, five runs)")
    parser.add_argument("--format", choices=("text", "json", "markdown", "csv"), default="text")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    add_filters(parser, 50)
    options = parser.parse_args(argv)
    if options.scenario or options.status:
        parser.error("the scenario is the first argument, and only completed runs have values")
    document = _document(options)
    print(_rendered(document, "json" if options.json else options.format), end="")
    return 0


def _document(options: argparse.Namespace) -> dict[str, Any]:
    history = History(paths.outputs())
    names = ("since", "until", "device", "model", "host", "tag")
    equal = {name: getattr(options, name) for name in names}
    equal["pinned"] = "1" if options.pinned else None
    try:
        tell_recovered(history.recover())
        return trend(
            history, options.of, options.metric, options.stat, last=options.last, changes=options.changes, **equal
        )
    finally:
        history.close()


def _rendered(document: Mapping[str, Any], form: str) -> str:
    if form == "json":
        from harness.results.canonical import pretty

        return pretty(document).decode()
    if form == "csv":
        return _csv(document)
    floor = document["noise_floor"]
    lines = [f"{document['metric']} {document['stat']} of {document['scenario']}, {document['unit']}"]
    if floor is not None:
        lines.append(f"two runs differ by up to {floor['percent']:.1f} % by chance, from {floor['runs']} runs")
    if document["change"] is not None:
        lines.append(_changed(document["change"]))
    table = pipes if form == "markdown" else columns
    largest = max((abs(point["value"] or 0.0) for point in document["points"]), default=0.0)
    rows = [_row(point, largest, markdown=form == "markdown") for point in document["points"]]
    return "\n".join([*lines, "", table(_HEADINGS, rows)]) + "\n"


def _changed(change: Mapping[str, Any]) -> str:
    said = f"last change: {change['verdict']}: {change['reason']}"
    if change.get("since") is None:
        return said
    by = "divided by the canary" if change["normalised"] else "without a canary, so the host may be why"
    return f"{said}; {100 * change['effect']:+.1f} % worse since {change['since']}, p = {change['p']:.3g}, {by}"


def _row(point: Mapping[str, Any], largest: float, *, markdown: bool) -> list[str]:
    value, change = point["value"], point["percent_of_before"]
    bar = "" if markdown or not largest or value is None else "#" * round(_BAR * abs(value) / largest)
    return [
        point["run_id"],
        said(point["created_at"]),
        point["host"] or "-",
        str(point["n"]),
        number(value),
        "-" if change is None else f"{change:+.1f}",
        bar,
        ", ".join(point["changed"]),
    ]


def _csv(document: Mapping[str, Any]) -> str:
    import csv
    import io

    text = io.StringIO()
    names = ("run_id", "created_at", "host", "device", "model", "n", "value", "percent_of_before")
    writer = csv.DictWriter(text, ("scenario", "metric", "stat", "unit", *names), lineterminator="\n")
    writer.writeheader()
    about = {key: document[key] for key in ("scenario", "metric", "stat", "unit")}
    for point in document["points"]:
        writer.writerow({**about, **{name: point[name] for name in names}})
    return text.getvalue()
