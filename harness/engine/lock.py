"""One measurement at a time on a host: the lock that keeps two runs from timing each other."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import Cancelled, HostBusy
from harness.paths import runtime

_STEP_S = 0.05  # between two looks while waiting; a waiting run costs next to nothing and notices a cancel in time


@contextlib.contextmanager
def host_lock(
    *, wait_s: float = 0.0, folder: Path | None = None, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[Callable[[str], None]]:
    """Holds the host lock, free again at once when this process ends, however it ends; gives a way to name the run.

    Raises:
        HostBusy: another run holds the lock and did not give it back within `wait_s`; names that run and its pid.
        Cancelled: the run was cancelled while it waited.
    """
    place = folder or runtime()
    lock = FileLock(place / "measuring.lock")
    holder = place / "measuring.json"
    deadline = time.monotonic() + wait_s
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if cancelled():
                raise Cancelled from None
            if time.monotonic() >= deadline:
                raise HostBusy(
                    f"another measurement holds the lock of this host: {_holder(holder)}",
                    "wait for it (lock.wait_s=600), or measure beside it, stamped as contended (lock=shared)",
                ) from None
            time.sleep(_STEP_S)  # polling, since flock has no timed wait that a signal ends
    try:
        yield lambda run_id: _write(holder, run_id)
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _write(path: Path, run_id: str) -> None:
    path.write_text(json.dumps({"run_id": run_id, "pid": os.getpid()}))


def _holder(path: Path) -> str:
    try:
        said = json.loads(path.read_text())
        return f"run {said['run_id']}, pid {said['pid']}"
    except (OSError, ValueError, KeyError):
        return "a run that has not written its name yet"
