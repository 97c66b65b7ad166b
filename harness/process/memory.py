"""Resident memory of a process tree, and whether the kernel has killed for memory."""

import os
from functools import cache
from pathlib import Path

from harness.process import linux

_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20 if hasattr(os, "sysconf") else 4096 / 2**20


def tree_resident_mb(pid: int) -> float:
    """The resident memory of a process and all below it, in MiB; pages that they share count once for each."""
    if not linux.IS_LINUX:
        return _tree_resident_mb_portable(pid)
    pages = 0
    for each in (pid, *linux.descendant_pids(pid)):
        try:
            pages += int(Path(f"/proc/{each}/statm").read_bytes().split()[1])
        except (OSError, IndexError):
            continue  # ended between the listing and the look
    return pages * _PAGE_MB


def _tree_resident_mb_portable(pid: int) -> float:
    import psutil

    try:
        root = psutil.Process(pid)
        return float(sum(process.memory_info().rss for process in (root, *root.children(recursive=True))) / 2**20)
    except psutil.NoSuchProcess:
        return 0.0


def oom_kills() -> int:
    """How often the kernel has killed a process of this machine for want of memory."""
    try:
        with open("/proc/vmstat") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0


@cache
def oom_kills_at_start() -> int:
    """The same at the first call of this process; the supervisor asks once before it starts a worker."""
    return oom_kills()
