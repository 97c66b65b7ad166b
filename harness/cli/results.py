"""`results`: the runs, suites or comparisons that are stored, newest last, where a terminal shows it."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from harness import paths
from harness.report.columns import columns
from harness.report.numbers import duration, number
from harness.results.history import History
from harness.results.times import parse_when, said

_HEADINGS = ("run", "created (UTC)", "scenario", "device", "status", "verdict", "time", "key metric")
_ONLY_RUNS = ("status", "scenario", "device", "model", "host", "tag", "pinned", "rebuild")
_STATUSES = ("pending", "running", "completed", "failed", "skipped", "cancelled", "crashed")


def main(argv: Sequence[str]) -> int:
    """Prints the runs that match, or suites or comparisons; the exit code."""
    options = _parse(argv)
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        if options.suites or options.ab:
            return _records(history, options)
        if options.rebuild:
            print(f"the index was read anew from {history.index.rebuild()} manifests", file=sys.stderr)
        found = matching(history, options)
    finally:
        history.close()
    found.reverse()
    if options.json:
        print(json.dumps([{key: value for key, value in row.items() if key != "created"} for row in found], indent=2))
    elif found:
        print(columns(_HEADINGS, [_cells(row) for row in found]))
    else:
        print(f"no run matches in {history.runs}")
    return 0


def _records(history: History, options: argparse.Namespace) -> int:
    """Prints the suites or the comparisons."""
    from harness.report.records import records_table
    from harness.results.listing import rows
    from harness.results.records import COMPARISON, SUITE

    kind = SUITE if options.suites else COMPARISON
    found = rows(history.outputs, kind, last=options.last, since=options.since, until=options.until)
    if options.json:
        print(json.dumps(found, indent=2))
    elif found:
        print(records_table(kind, found))
    else:
        print(f"no {kind.said} matches in {history.outputs / kind.room}")
    return 0


def matching(history: History, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of the index that pass the filters of `add_filters`, newest first."""
    return history.index.find(
        last=options.last,
        since=options.since,
        until=options.until,
        status=options.status,
        scenario=options.scenario,
        device=options.device,
        model=options.model,
        host=options.host,
        tag=options.tag,
        pinned="1" if options.pinned else None,
    )


def tell_recovered(manifests: Sequence[dict[str, Any]]) -> None:
    """Says which runs were just found dead."""
    for manifest in manifests:
        print(
            f"{manifest['run_id']} had lost its process and is now {manifest['status']}, "
            f"after {manifest['completed_iterations']} iterations",
            file=sys.stderr,
        )


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness results",
        description="Lists stored runs, suites or comparisons, newest last. Times are UTC, as typed and as shown.",
        epilog="A time is an age (90m, 3h, 2d), a date (2026-11-22) or a date and time with or without a zone.",
    )
    add_filters(parser, 20)
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--suites", action="store_true", help="suites and sweeps instead of runs")
    others.add_argument("--ab", action="store_true", help="comparisons of `ab` and `selftest noise` instead of runs")
    parser.add_argument("--rebuild", action="store_true", help="read the index anew from all manifests first")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    options = parser.parse_args(argv)
    given = [f"--{name}" for name in _ONLY_RUNS if getattr(options, name)]
    if given and (options.suites or options.ab):
        listed = "--suites" if options.suites else "--ab"
        parser.error(f"{', '.join(given)}: only for runs; {listed} goes with --last, --from, --to and --json")
    return options


def add_filters(parser: argparse.ArgumentParser, last: int | None) -> None:
    """The options by which runs are chosen, of every verb that works on several."""
    told = f"at most N runs (default {last or 'all'})"
    parser.add_argument("--last", type=_count, default=last, metavar="N", help=told)
    parser.add_argument("--status", action="append", choices=_STATUSES, help="only runs that ended so; may be repeated")
    parser.add_argument("--scenario", action="append", metavar="S", help="only this scenario; may be repeated")
    parser.add_argument("--device", metavar="D", help="only this device")
    parser.add_argument("--model", metavar="M", help="only this model")
    parser.add_argument("--host", metavar="H", help="only runs of this host")
    parser.add_argument("--tag", metavar="T", help="only runs with this tag")
    parser.add_argument("--pinned", action="store_true", help="only pinned runs")
    parser.add_argument("--from", dest="since", type=_since, metavar="TIME", help="only runs created then or later")
    parser.add_argument(
        "--to", dest="until", type=_until, metavar="TIME", help="only runs created before; a date counts whole"
    )


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a whole number from 1, found {text!r}")
    return int(text)


def _since(text: str) -> float:
    return _when(text, end=False)


def _until(text: str) -> float:
    return _when(text, end=True)


def _when(text: str, *, end: bool) -> float:
    try:
        return parse_when(text, end=end)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _cells(row: dict[str, Any]) -> list[str]:
    metric = "-" if row["metric"] is None else f"{row['metric']} p50 {number(row['p50'])} {row['unit']} (n={row['n']})"
    words = (
        row["run_id"],
        said(row["created_at"]),
        row["scenario"],
        row["device"],
        row["status"],
        row["verdict"] or "-",
    )
    return [*words, duration(row["duration_s"]), metric]
