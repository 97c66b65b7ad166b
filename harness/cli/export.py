"""`export`: stored runs as a bundle that can be imported elsewhere, as CSV, or as Markdown."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import paths
from harness.cli.results import add_filters, matching, tell_recovered
from harness.errors import NotFound, StorageRefused, StoreLost
from harness.results.history import History

_FORMATS = ("json", "csv", "markdown")


def main(argv: Sequence[str]) -> int:
    """Writes the runs that are named or match; 0.

    Raises:
        NotFound: no run is meant.
        RefusedError: a named run has not ended.
        StorageRefused: the file cannot be written.
        StoreLost: a document cannot be read.
    """
    options = _parse(argv)
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        run_ids = _chosen(history, options)
        text = _rendered(history, run_ids, "json" if options.json else options.format)
    finally:
        history.close()
    if options.output is None:
        print(text, end="")
        return 0
    _write(options.output, text.encode())
    print(f"{len(run_ids)} run{'s' if len(run_ids) > 1 else ''}: {options.output}", file=sys.stderr)
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness export",
        description="Exports stored runs: json is a bundle with all files and digests, csv the statistics of each "
        "metric, markdown the reports. Without RUN and filters it is the last run.",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="a run id, its beginning, its last digits, or `last`")
    parser.add_argument("--format", choices=_FORMATS, default="json", help="json (a bundle), csv or markdown")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there; compressed where it ends in .gz")
    add_filters(parser, None)
    return parser.parse_args(argv)


def _chosen(history: History, options: argparse.Namespace) -> list[str]:
    """The named runs, or those that match and have ended, oldest first."""
    filters = ("last", "status", "scenario", "device", "model", "host", "tag", "pinned", "since", "until")
    if options.runs or not any(getattr(options, name) for name in filters):
        return list(dict.fromkeys(history.find(text) for text in options.runs or ["last"]))
    found = [row["run_id"] for row in matching(history, options) if row["status"] not in ("pending", "running")]
    if not found:
        raise NotFound(f"no ended run matches in {history.runs}", "`python -m harness results` lists the runs")
    return found[::-1]


def _rendered(history: History, run_ids: Sequence[str], form: str) -> str:
    if form == "json":
        from harness.results import schema
        from harness.results.bundle import build
        from harness.results.canonical import pretty

        document = build(history, run_ids)
        problems = schema.validate(document, "export")
        if problems:
            raise StoreLost(f"the bundle does not fit its schema: {problems[0]}")
        return pretty(document).decode()
    results = [result for result in map(history.result, run_ids) if result is not None]
    if form == "csv":
        from harness.report.csv import metrics_csv

        return metrics_csv(results)
    from harness.report.markdown import run_report

    return "\n---\n\n".join(run_report(result) for result in results)


def _write(path: Path, content: bytes) -> None:
    from harness.results.disk import Disk

    if path.suffix == ".gz":
        import gzip

        content = gzip.compress(content, 6, mtime=0)
    try:
        Disk().write(path, content)
    except OSError as error:
        raise StorageRefused(f"{path} cannot be written: {error.strerror or error}", "Name another file") from error
