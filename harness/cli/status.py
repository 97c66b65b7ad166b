"""`status`: where a run is, from any terminal, while it runs and afterwards."""

import argparse
import time
from collections.abc import Sequence

from harness import paths
from harness.cli.results import tell_recovered
from harness.results.history import History
from harness.results.manifest import UNFINISHED
from harness.track.live import Watched, status_document


def main(argv: Sequence[str]) -> int:
    """Prints the status of the runs; 0.

    Raises:
        NotFound: no run, or more than one, is meant by a name.
        StoreLost: a manifest cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="python -m harness status", description="Shows how far a run is, and when it will end."
    )
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="run ids as for `show`; without any, those that run now, else the last"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, a list with an entry a run")
    options = parser.parse_args(argv)
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        run_ids = [history.find(name) for name in options.runs] or unfinished(history) or [history.find("last")]
    finally:
        history.close()
    looks = [Watched(history.runs / run_id).look(time.time()) for run_id in run_ids]
    if options.json:
        from harness.results.canonical import pretty

        print(pretty([status_document(look) for look in looks]).decode(), end="")
        return 0
    from harness.report.status import status_text

    print("\n\n".join(status_text(look, time.time()) for look in looks))
    return 0


def unfinished(history: History) -> list[str]:
    """The runs that run now, newest first."""
    return [row["run_id"] for row in history.index.find(status=UNFINISHED)]
