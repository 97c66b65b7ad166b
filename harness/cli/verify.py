"""`verify`: whether stored runs still are what was stored."""

import argparse
import json
from collections.abc import Sequence

from harness import paths
from harness.cli.results import tell_recovered
from harness.results.history import History


def main(argv: Sequence[str]) -> int:
    """Checks schemas and digests of the named runs; 0 when all hold, 1 when one does not.

    Raises:
        NotFound: no run, or more than one, is meant by a name.
    """
    parser = argparse.ArgumentParser(
        prog="python -m harness verify",
        description="Checks the schemas and digests of stored runs. Exit 1 on a mismatch.",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="a run id, its beginning, or `last` (the default)")
    parser.add_argument("--all", action="store_true", help="every stored run")
    parser.add_argument("--json", action="store_true", help="the problems of each run as JSON")
    options = parser.parse_args(argv)
    if options.all and options.runs:
        parser.error("name runs, or use --all, not both")
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        every = [row["run_id"] for row in reversed(history.index.find())] if options.all else []
        run_ids = every if options.all else [history.find(text) for text in options.runs or ["last"]]
    finally:
        history.close()
    from harness.journal.lines import read_journal
    from harness.results.verify import problems_of

    found = {}
    for run_id in run_ids:
        problems = found[run_id] = problems_of(history.runs / run_id, read_journal)
        if not options.json:
            print(f"{run_id}: {'does not hold' if problems else 'holds'}")
            for problem in problems:
                print(f"  {problem}")
    broken = sum(bool(problems) for problems in found.values())
    if options.json:
        print(json.dumps({"schema": "harness.verify/1", "runs": found, "broken": broken}, indent=2))
    else:
        print(f"{len(run_ids) - broken} of {len(run_ids)} runs hold")
    return int(broken > 0)
