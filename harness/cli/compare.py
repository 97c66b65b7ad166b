"""`compare`: stored runs held against one another, from the store alone; nothing is measured."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import paths
from harness.cli.results import tell_recovered
from harness.results.compare import STATS, compare
from harness.results.history import History
from harness.results.judgement import CLASSES, SEVERITIES, Question

_FORMATS = ("text", "json", "markdown", "csv")
_SORTS = ("severity", "change", "name")


def main(argv: Sequence[str]) -> int:
    """Prints or writes the comparison; 1 when something is worse, else 0.

    Raises:
        NotFound: no run, or more than one, is meant by a name; or there is no such baseline.
        RefusedError: a run has no result.
        StoreLost: a document cannot be read.
    """
    options = _parse(argv)
    document = _compared(options)
    shown = {**document, "comparisons": [_shown(pair, options) for pair in document["comparisons"]]}
    text = _rendered(shown, "json" if options.json else options.format)
    if options.output is None:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        _write(options.output, text, document)
    return int(document["verdict"]["exit_code"])


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness compare",
        description="Compares stored runs: the first is the base, the others are candidates. One run alone is compared "
        "with the committed baseline of its scenario and device.",
        epilog="RUN is a run id, its beginning, its last six digits, `last`; several with commas; tag:T, model:M, "
        "scenario:S, device:D for all completed runs that match; `baseline`, or the file of one. "
        "Five runs or more on each side carry a judgement of times; single runs only beside a canary.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the base, then one candidate or several")
    parser.add_argument("--factor", action="append", default=[], metavar="KEY", help="what may differ: model, commit")
    parser.add_argument("--stat", choices=STATS, default="p50", help="the statistic that is compared (default p50)")
    parser.add_argument("--metric", action="append", default=[], metavar="GLOB", help="only such metrics; repeatable")
    parser.add_argument("--only", action="append", choices=CLASSES, metavar="CLASS", help="show only this class")
    parser.add_argument("--sort", choices=_SORTS, default="severity", help="the order of the rows (default severity)")
    parser.add_argument("--rank", action="append", default=[], metavar="METRIC", help="put the arms in order by it")
    parser.add_argument(
        "--tolerance", type=_percent, default=5.0, metavar="PERCENT", help="the change that matters (default 5)"
    )
    parser.add_argument("--fail-on", choices=SEVERITIES, default="minor", help="exit 1 from this severity (minor)")
    parser.add_argument("--strict", action="store_true", help="exit 1 also when something is inconclusive")
    parser.add_argument("--baselines", type=Path, metavar="FOLDER", help="another folder than the project's baselines/")
    parser.add_argument("--format", choices=_FORMATS, default="text", help="text, json, markdown or csv")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there instead of printing")
    return parser.parse_args(argv)


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1000:
        raise argparse.ArgumentTypeError(f"should be a percentage above 0, such as 5, found {text!r}")
    return value


def _compared(options: argparse.Namespace) -> dict[str, Any]:
    from harness.results.arms import find
    from harness.results.noise import earlier_values

    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        found = [find(text, history, base=options.baselines) for text in options.runs]
        if len(found) == 1:
            first = found[0].first
            path = _baseline_of(first, options.baselines)
            found.insert(0, find(str(path), history))
        return compare(
            found[0],
            found[1:],
            Question(options.stat, options.tolerance, tuple(options.factor)),
            only=options.metric,
            rank_by=options.rank,
            earlier=earlier_values(history, found[0], options.stat),
            fail_on=options.fail_on,
            strict=options.strict,
        )
    finally:
        history.close()


def _baseline_of(document: Mapping[str, Any], base: Path | None) -> Path:
    from harness.results import baseline

    return baseline.path_of(base or baseline.folder(), document["scenario"], document["device"])


def _shown(pair: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The rows that were asked for, in the order that was asked for; the verdict stays that over all of them."""
    rows = [row for row in pair["metrics"] if options.only is None or row["class"] in options.only]

    def severity(row: Mapping[str, Any]) -> tuple[int, int, float]:
        grade = -1 if row["severity"] is None else SEVERITIES.index(row["severity"])
        return CLASSES.index(row["class"]), -grade, -abs(row["delta_percent"] or 0.0)

    keys: Mapping[str, Any] = {
        "severity": severity,
        "change": lambda row: -abs(row["delta_percent"] or 0.0),
        "name": lambda row: row["metric"],
    }
    return {**pair, "metrics": sorted(rows, key=keys[options.sort])}


def _rendered(document: Mapping[str, Any], form: str) -> str:
    if form == "json":
        from harness.results.canonical import pretty

        return pretty(document).decode()
    from harness.report import compare as report

    return {"text": report.as_text, "markdown": report.as_markdown, "csv": report.as_csv}[form](document)


def _write(path: Path, text: str, document: Mapping[str, Any]) -> None:
    """Writes the file; what is kept has to fit its schema.

    Raises:
        StorageRefused: the file cannot be written.
        StoreLost: the document does not fit its schema.
    """
    from harness.errors import StorageRefused, StoreLost
    from harness.results import schema
    from harness.results.disk import Disk

    problems = schema.validate(document, "comparison")
    if problems:
        raise StoreLost(f"the comparison does not fit its schema: {problems[0]}")
    try:
        Disk().write(path, text.encode())
    except OSError as error:
        raise StorageRefused(f"{path} cannot be written: {error.strerror or error}", "Name another file") from error
    print(f"verdict {document['verdict']['level']}: {path}", file=sys.stderr)
