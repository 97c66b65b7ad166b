"""`watch`: follows a run from another terminal until it ends."""

import argparse
import json
import sys
import time
from collections.abc import Sequence

from harness import paths
from harness.cli.results import tell_recovered
from harness.cli.status import unfinished
from harness.errors import NotFound
from harness.report.status import status_text
from harness.results.history import History
from harness.track.lines import StepLines
from harness.track.live import Look, Watched, status_document

_PLAIN_S = 10.0  # between two lines where nobody looks at a terminal


def main(argv: Sequence[str]) -> int:
    """Shows the progress until the run has ended, then its status; gives the exit code of the run.

    Raises:
        NotFound: no run, or more than one, is meant.
        StoreLost: the manifest cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m harness watch", description="Follows a run until it ends.")
    parser.add_argument("run", nargs="?", help="a run id as for `show`; without one, the newest that runs now")
    parser.add_argument("--interval", type=float, metavar="S", help="seconds between two looks (default 1, plain 10)")
    parser.add_argument("--json", action="store_true", help="a line of JSON a look, for programs")
    options = parser.parse_args(argv)
    terminal = sys.stdout.isatty() and not options.json
    interval_s = max(0.1, options.interval or (1.0 if terminal else _PLAIN_S))
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        watched = Watched(history.runs / _meant(history, options.run))
        look = _follow(history, watched, interval_s, as_json=options.json, terminal=terminal)
    finally:
        history.close()
    if not options.json:
        print(status_text(look, time.time()))
    code = look.manifest["exit_code"]
    return 0 if code is None else int(code)


def _meant(history: History, name: str | None) -> str:
    if name is not None:
        return history.find(name)
    running = unfinished(history)
    if not running:
        raise NotFound("no run is running", "Name a run that has ended, or start one")
    return running[0]


def _follow(history: History, watched: Watched, interval_s: float, *, as_json: bool, terminal: bool) -> Look:
    view = StepLines(sys.stdout, terminal=terminal)
    step: str | None = None
    while True:
        tell_recovered(history.recover())  # a run whose process was killed ends here too
        look = watched.look(time.time())
        if as_json:
            print(json.dumps(status_document(look)), flush=True)
        elif look.progress is not None:
            view.show(look.progress, edge=look.progress.name != step, due=True)
            step = look.progress.name
        if look.ended:
            view.close()
            return look
        time.sleep(interval_s)  # between two looks at files that another process writes
