"""`prune`: takes old runs, suites and comparisons away, but none that is new, pinned, running or a baseline."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import paths
from harness.cli.results import tell_recovered
from harness.results import baseline
from harness.results.history import History
from harness.results.records import RECORDS, RUN, Kind
from harness.results.retention import DAYS, NEWEST, Plan, plan, plan_records, protected, remove


def main(argv: Sequence[str]) -> int:
    """Removes what may go, or with --dry-run says what would; 0.

    Raises:
        StorageRefused: the store cannot be written.
        StoreLost: a baseline cannot be read, so that nobody knows which run it protects.
    """
    options = _parse(argv)
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        named = protected([baseline.folder(), *options.baselines])
        now = time.time()
        runs = plan(history, named, now, options.days, options.keep)
        others = {
            kind: plan_records(history.outputs, kind, runs.going, now, options.days, options.keep) for kind in RECORDS
        }
        going = {kind: found.going for kind, found in others.items()}
        freed = 0 if options.dry_run else remove(history.outputs, runs.going, going)
        if not options.dry_run:
            history.index.find(last=1)  # looks at the folder, and so forgets what is gone
    finally:
        history.close()
    if options.json:
        told = {"schema": "harness.prune/1", "dry_run": options.dry_run, "bytes": freed, **_listed(runs)}
        print(json.dumps({**told, **{f"{kind.said}s": _listed(found) for kind, found in others.items()}}, indent=2))
    else:
        _tell({RUN: runs, **others}, freed, "would go" if options.dry_run else "removed")
    return 0


def _listed(found: Plan) -> dict[str, object]:
    return {"removed": found.going, "kept": found.staying}


def _tell(plans: Mapping[Kind, Plan], freed: int, verb: str) -> None:
    for kind, found in plans.items():
        for each in found.going:
            print(f"{kind.said} {each}: {verb}")
        for reason, count in Counter(found.staying.values()).items():
            print(f"{_counted(count, kind)} as old stay{'s' if count == 1 else ''}: {reason}")
    size = f", {freed / 1e6:.1f} MB" if verb == "removed" else ""
    counts = ", ".join(_counted(len(found.going), kind) for kind, found in plans.items())
    print(f"{counts} {verb}{size}; summary.csv keeps the rows of runs")


def _counted(count: int, kind: Kind) -> str:
    return f"{count} {kind.said}{'' if count == 1 else 's'}"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness prune",
        description="Removes runs, suites and comparisons older than --days. The newest --keep of each stay, so do "
        "pinned and running ones, runs that a baseline names, and suites that hold a run that stays. An imported run "
        "is as old as its import.",
    )
    parser.add_argument("--days", type=_days, default=DAYS, metavar="D", help=f"the age in days (default {DAYS:g})")
    parser.add_argument(
        "--keep", type=_count, default=NEWEST, metavar="N", help=f"of each kind, always (default {NEWEST})"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    parser.add_argument(
        "--baselines", action="append", default=[], type=Path, metavar="FOLDER", help="further baselines; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    return parser.parse_args(argv)


def _days(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"should be a number of days, found {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < NEWEST:
        raise argparse.ArgumentTypeError(f"should be a whole number from {NEWEST}, found {text!r}")
    return int(text)
