"""`tensorboard`: stored runs, or one that runs now, as event files that TensorBoard shows."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from harness import paths
from harness.cli.results import tell_recovered
from harness.results.history import History
from harness.results.manifest import FINAL
from harness.track.tensorboard import Mirror

_LOOK_S = 1.0


def main(argv: Sequence[str]) -> int:
    """Writes a folder a run, and says how to look at them; 0.

    Raises:
        NotFound: no run, or more than one, is meant by a name.
        RefusedError: the package tensorboard is not installed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m harness tensorboard", description="Writes runs as event files for TensorBoard."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run ids as for `show`, or `last`")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where to; by default `tensorboard` among the outputs")
    parser.add_argument("--follow", action="store_true", help="go on until the runs have ended")
    options = parser.parse_args(list(argv))
    history = History(paths.outputs())
    target = options.to or history.outputs / "tensorboard"
    try:
        tell_recovered(history.recover())
        mirrors = {run_id: Mirror(history.runs / run_id, target / run_id) for run_id in map(history.find, options.runs)}
        written = dict.fromkeys(mirrors, 0)
        running = set(mirrors)
        while running:
            history.recover()
            ended = {run_id for run_id in running if history.manifest(run_id)["status"] in FINAL}
            for run_id in running:  # after it was seen to have ended, so that nothing comes later
                written[run_id] += mirrors[run_id].update()
            running = running - ended if options.follow else set()
            if running:
                time.sleep(_LOOK_S)  # another process writes the files; they are looked at again
        for mirror in mirrors.values():
            mirror.close()
    finally:
        history.close()
    for run_id, count in written.items():
        print(f"{run_id}: {count} numbers in {target / run_id}")
    print(f"look at them with: tensorboard --logdir {target}")
    return 0
