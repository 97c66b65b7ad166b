"""`prune`: takes old runs away, never the newest, pinned or running ones, nor those that baselines name."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness import paths
from harness.cli.results import tell_recovered
from harness.results import baseline
from harness.results.history import History
from harness.results.retention import DAYS, NEWEST, plan, protected, remove


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
        found = plan(history, named, time.time(), options.days, options.keep)
        freed = 0 if options.dry_run else remove(history.outputs, found.going)
        if not options.dry_run:
            history.index.find(last=1)  # looks at the folder, and so forgets what is gone
    finally:
        history.close()
    if options.json:
        told = {"schema": "harness.prune/1", "dry_run": options.dry_run, "bytes": freed}
        print(json.dumps({**told, "removed": found.going, "kept": found.staying}, indent=2))
        return 0
    for run_id in found.going:
        print(f"{run_id}: {'would go' if options.dry_run else 'removed'}")
    for reason, count in Counter(found.staying.values()).items():
        print(f"{count} as old stay{'s' if count == 1 else ''}: {reason}")
    size = "" if options.dry_run else f", {freed / 1e6:.1f} MB"
    print(f"{len(found.going)} {'would go' if options.dry_run else 'removed'}{size}; summary.csv keeps their rows")
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness prune",
        description="Removes runs older than --days. The newest --keep runs stay, so do pinned and running ones and "
        "those that a baseline names. An imported run is as old as its import.",
    )
    parser.add_argument("--days", type=_days, default=DAYS, metavar="D", help=f"the age in days (default {DAYS:g})")
    parser.add_argument("--keep", type=_count, default=NEWEST, metavar="N", help=f"always (default {NEWEST})")
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
