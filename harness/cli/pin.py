"""`pin`: keeps stored runs from being pruned."""

import argparse
from collections.abc import Sequence

from harness.cli.annotations import changed, tell
from harness.results.annotate import pinned


def main(argv: Sequence[str]) -> int:
    """Pins runs, or with --off lets them go; 0.

    Raises:
        NotFound: no run, or more than one, is meant by a name.
        RefusedError: a run has not ended.
    """
    parser = argparse.ArgumentParser(prog="python -m harness pin", description="Keeps runs from being pruned.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run id, its beginning, its last digits, or `last`")
    parser.add_argument("--off", action="store_true", help="let them go again")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    options = parser.parse_args(argv)
    found = changed(options.runs, pinned(not options.off))
    return tell(found, options, lambda known: "pinned" if known["pinned"] else "not pinned")
