"""Ending processes for good: kill, wait, and look again until nothing is left."""

import contextlib
import os
import signal
from collections.abc import Callable, Collection

from harness.process import linux

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has only the latter, which ends a process at once there


def kill(pid: int, signal_number: int = KILL) -> None:
    """Signals one process; one that is already gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal_number)


def kill_group(pid: int, signal_number: int = KILL) -> None:
    """Signals the group that `pid` leads, and `pid` itself should it not have become a leader yet."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal_number)
    kill(pid, signal_number)


def reap_ready() -> list[tuple[int, int, "object"]]:
    """The children that have ended, as (pid, wait status, rusage), without blocking."""
    ended: list[tuple[int, int, object]] = []
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status, usage))


def kill_children_except(kept: Collection[int], chosen: Callable[[int], bool] = lambda pid: True) -> set[int]:
    """Kills and reaps the children of this process that are not `kept`, with all below them; gives their pids.

    Orphans of a killed child become children of this process (it adopts orphans), so one look is not enough: the
    loop ends when a look finds nothing. A process that forks faster than it is killed is stopped before its children
    are listed, which ends the race.
    """
    ended: set[int] = set()
    while True:
        targets = [pid for pid in linux.child_pids(os.getpid()) if pid not in kept and chosen(pid)]
        if not targets:
            return ended
        for pid in targets:
            kill(pid, signal.SIGSTOP)
            below = linux.descendant_pids(pid)
            for each in (*below, pid):
                kill(each)
            ended.update((pid, *below))
        for pid in targets:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
