"""Writes two runs to a store and kills itself with SIGKILL at a counted change of the disk; says what was acknowledged.

    python -m tests.results.killed_writer FOLDER

For n = 1, 2, … a child of its own begins in FOLDER/n, until one comes to its end. A kill at a write leaves half of what
was to be written. FOLDER/n.log holds a line for each acknowledgement.
"""

import os
import signal
import sys
from pathlib import Path

from harness.results.disk import Disk
from harness.results.store import Store
from tests.results.documents import a_result, a_run, measured_so_far


class KillingDisk(Disk):
    """Counts the changes and ends the process at one of them."""

    def __init__(self, at: int) -> None:
        self.left = at

    def about_to(self, step: str, path: Path) -> None:
        self.left -= 1
        if self.left == 0 and step != "write":
            os.kill(os.getpid(), signal.SIGKILL)

    def put(self, descriptor: int, path: Path, content: bytes) -> None:
        self.about_to("write", path)
        if self.left == 0:
            os.write(descriptor, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(descriptor, content)

    def sync(self, descriptor: int) -> None:
        """Takes 2 ms and matters to power cuts only."""


def write(folder: Path, disk: Disk) -> None:
    """Two runs: the second is begun before the first has ended."""
    log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    store = Store(folder, disk)
    runs = []
    for scenario in ("rollback", "prefetch"):
        runs.append(a_run(store, scenario))
        os.write(log, f"created {runs[-1].run_id}\n".encode())
        measured_so_far(runs[-1].folder, 5)
    for run in runs:
        store.finish(a_result({"run_id": run.run_id, "scenario": run.manifest["scenario"]}), report="# report\n")
        os.write(log, f"finished {run.run_id}\n".encode())


def main(root: Path) -> None:
    """One child a kill point."""
    at, status = 0, 1
    while status != 0:
        at += 1
        child = os.fork()
        if child == 0:
            write(root / str(at), KillingDisk(at))
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status not in (0, signal.SIGKILL):
            sys.exit(f"the writer of point {at} ended with {status}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
