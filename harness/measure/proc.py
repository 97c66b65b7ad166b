"""Raw readings of /proc through files that stay open: some 50 us a sample where psutil takes over a millisecond."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20 if hasattr(os, "sysconf") else 4096 / 2**20
_RELOOK = 20  # at least this many times the cost of a look at the children lies between two looks: 5 % at most


def is_usable() -> bool:
    """Whether /proc is to be read: on Linux, unless `HARNESS_FORCE_PSUTIL` asks for the portable way."""
    return sys.platform == "linux" and os.environ.get("HARNESS_FORCE_PSUTIL", "") in ("", "0")


class File:
    """A file of /proc kept open; a process's file answers None once that process has gone, and never another's."""

    __slots__ = ("_descriptor", "_size")

    def __init__(self, path: str, size: int = 4096) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = size

    def read(self) -> bytes | None:
        """The content now, None when the process has gone or the kernel refuses."""
        try:
            return os.pread(self._descriptor, self._size, 0) or None
        except OSError:
            return None

    def close(self) -> None:
        """Releases the descriptor."""
        os.close(self._descriptor)


def open_file(path: str, size: int = 4096) -> File | str:
    """The file kept open, or the reason why it cannot be read."""
    try:
        file = File(path, size)
    except OSError as error:
        return f"{path}: {error.strerror}"
    try:
        os.pread(file._descriptor, 1, 0)
    except OSError as error:  # pressure files of a kernel started with psi=0 open and then refuse
        file.close()
        return f"{path}: {error.strerror}"
    return file


class Stat(NamedTuple):
    """What a sampler needs of `/proc/PID/stat`."""

    state: str
    parent: int
    cpu_ticks: int  # with the waited-for children's, so that nothing is lost when a child ends
    threads: int
    started_ticks: int
    virtual_bytes: int
    resident_pages: int


def parse_stat(content: bytes) -> Stat:
    """The fields of a stat line; the name in parentheses may hold anything, so it is skipped from its last parenthesis.

    Raises:
        ValueError, IndexError: the line is not complete.
    """
    fields = content[content.rindex(b")") + 2 :].split()
    cpu_ticks = sum(map(int, fields[11:15]))
    threads, started, virtual, pages = int(fields[17]), int(fields[19]), int(fields[20]), int(fields[21])
    return Stat(fields[0].decode(), int(fields[1]), cpu_ticks, threads, started, virtual, pages)


def children(pid: int) -> list[int]:
    """The direct children of a process, those of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                found += map(int, file.read(65536).split())
    return found


class Tree:
    """The processes below a root and the root itself, each with one of its /proc files kept open.

    A member stays one until its file says that it has gone, also after its parent has ended and another process has
    adopted it.
    """

    def __init__(self, root: int, file: str, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self.root = root
        self._file = file
        self._clock = clock
        self._files: dict[int, File] = {}
        self._next_look_ns = 0
        self._admit(root)

    def _admit(self, pid: int) -> None:
        if pid not in self._files:
            with contextlib.suppress(OSError):  # gone again, or no descriptor left for it
                self._files[pid] = File(f"/proc/{pid}/{self._file}")

    def look(self) -> None:
        """Finds new children, unless the last look was so recent that looking again would cost more than 5 %."""
        started = self._clock()
        if started < self._next_look_ns:
            return
        pending = list(self._files)
        while pending:
            found = [child for pid in pending for child in children(pid) if child not in self._files]
            for child in found:
                self._admit(child)
            pending = found
        ended = self._clock()
        self._next_look_ns = ended + _RELOOK * (ended - started)

    def read(self) -> dict[int, bytes]:
        """The file of every member that still is there."""
        contents: dict[int, bytes] = {}
        for pid, file in list(self._files.items()):
            content = file.read()
            if content is None:
                self._files.pop(pid).close()
            else:
                contents[pid] = content
        return contents

    def close(self) -> None:
        """Releases all descriptors."""
        for file in self._files.values():
            file.close()
        self._files.clear()


@dataclass(frozen=True)
class TreeReading:
    """A process tree at one moment."""

    cpu_s: float
    resident_mb: float
    peak_mb: float
    threads: int
    processes: int


class TreeReader:
    """Readings of a whole process tree; one process at the moment between vfork and exec is not counted twice."""

    def __init__(self, root: int) -> None:
        self._tree = Tree(root, "stat")
        self._ticks = 0
        self._orphan_ticks = 0
        self._last: dict[int, Stat] = {}

    def read(self) -> TreeReading | None:
        """The tree now, None once its root has ended."""
        self._tree.look()
        stats: dict[int, Stat] = {}
        for pid, content in self._tree.read().items():
            with contextlib.suppress(ValueError, IndexError):
                stats[pid] = parse_stat(content)
        root = stats.get(self._tree.root)
        if root is None or root.state in "ZX":
            return None
        pages = {pid: stat.resident_pages for pid, stat in stats.items() if not _same_memory(stat, stats)}
        largest = max(pages, key=lambda pid: pages[pid])
        resident_mb = sum(pages.values()) * PAGE_MB
        return TreeReading(
            self._count_ticks(stats) * TICK_S,
            resident_mb,
            max(resident_mb, high_water_mb(largest) or 0.0),
            sum(stat.threads for stat in stats.values()),
            sum(stat.state not in "ZX" for stat in stats.values()),
        )

    def _count_ticks(self, stats: dict[int, Stat]) -> int:
        """CPU ticks of the tree so far; never falls.

        A child that ends leaves its ticks to the parent that waits for it. An orphan, adopted from outside the tree,
        takes them away, so its last known ones are kept here. A child reaped between the reading of its parent and
        its own is missing once: the total then stands still until the parent's own figure has it.
        """
        for pid, stat in self._last.items():
            if pid not in stats and stat.parent not in self._last:
                self._orphan_ticks += stat.cpu_ticks
        self._last = stats
        self._ticks = max(self._ticks, sum(stat.cpu_ticks for stat in stats.values()) + self._orphan_ticks)
        return self._ticks

    def close(self) -> None:
        """Releases all descriptors."""
        self._tree.close()


def _same_memory(stat: Stat, stats: Mapping[int, Stat]) -> bool:
    """Whether this process still runs in its parent's memory, which `vfork` lends it until it calls exec."""
    parent = stats.get(stat.parent)
    return (
        parent is not None
        and stat.threads == 1
        and stat.resident_pages > 0
        and (stat.virtual_bytes, stat.resident_pages) == (parent.virtual_bytes, parent.resident_pages)
    )


def status_mb(content: bytes, field: bytes) -> float | None:
    """A memory field of `/proc/PID/status` in MiB, None in the status of a zombie, which has no memory left."""
    start = content.find(b"\n" + field + b":")
    if start < 0:
        return None
    return int(content[start + len(field) + 2 :].split(None, 1)[0]) / 1024


def high_water_mb(pid: int) -> float | None:
    """The most that one process has had resident so far, as the kernel keeps it; None when it has gone."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            return status_mb(file.read(), b"VmHWM")
    except OSError:
        return None
