"""The few Linux calls that Python has no name for, each a no-op answer of False elsewhere."""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

IS_LINUX = sys.platform == "linux"


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> bool:
    return IS_LINUX and _libc().prctl(option, value, 0, 0, 0) == 0


def adopt_orphans(on: bool = True) -> bool:
    """Makes this process the parent of every orphan below it (a child subreaper, `prctl(2)`)."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, int(on))


def die_with_parent(signal_number: int) -> bool:
    """Asks the kernel to send this signal here when the parent process ends; survives exec."""
    return _prctl(_PR_SET_PDEATHSIG, signal_number)


def offer_to_oom_killer() -> None:
    """Puts this process first in the kernel's choice when memory runs out, before the supervisor."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        return  # a container may forbid it; the memory limit of the supervisor does not depend on it


def child_pids(pid: int) -> list[int]:
    """The direct children of a process, those of all its threads."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            found += [int(child) for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()]
        except OSError:
            continue
    return found


def descendant_pids(pid: int) -> list[int]:
    """All processes below `pid`, parents before children."""
    found: list[int] = []
    pending = child_pids(pid)
    while pending:
        found += pending
        pending = [grandchild for child in pending for grandchild in child_pids(child)]
    return found


def thread_count() -> int:
    """Threads of this process; a fork of a process with more than one is unsafe."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1
