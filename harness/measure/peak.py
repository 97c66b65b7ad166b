"""The peak memory of a process tree, watched from a thread, with the evidence for how fine the watch was.

At each look the resident sizes of all processes of the tree are added (pages that processes share count once for
each), and each process's own high-water mark, which the kernel keeps, is read. The peak is the highest sum, or the
highest single mark where that is higher. A process that lived between two looks is not seen; the largest gap is given.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from harness.measure.proc import Tree, is_usable, status_mb

_FIRST_S = 0.001
_OF_AGE = 0.1  # looks lie this part of the age apart until the interval is reached: a short program is seen finely
_MOST_SHARE = 0.02  # of a core; a look costs 0.2 to 0.4 ms, waking up included, and may run on the command's own core


@dataclass(frozen=True)
class Peak:
    """What the watch found; `mb` is None where no look found the tree alive."""

    mb: float | None
    looks: int
    largest_gap_ms: float
    cpu_s: float


class PeakWatch:
    """Watches one tree from `begin` to `finish`, and calls `attend` about every `interval_s` meanwhile."""

    def __init__(self, interval_s: float, attend: Callable[[], None], *, memory: bool = True) -> None:
        """Starts the thread, which waits for `begin`, so that its start costs the command nothing."""
        self._make = (_ProcLooker if is_usable() else _portable_looker()) if memory else None
        self._interval_s = interval_s
        self._attend = attend
        self._root = 0
        self._begun = threading.Event()
        self._over = threading.Event()
        self._peak_mb: float | None = None
        self._looks = 0
        self._largest_gap_s = 0.0
        self._cpu_s = 0.0
        self._thread = threading.Thread(target=self._run, name="peak-watch", daemon=True)
        self._thread.start()

    def begin(self, root: int) -> None:
        """Starts to watch the process `root` and all below it."""
        self._root = root
        self._begun.set()

    def finish(self) -> Peak:
        """Ends the watch and gives what it found; also where it never began."""
        self._over.set()
        self._begun.set()
        self._thread.join()
        return Peak(self._peak_mb, self._looks, self._largest_gap_s * 1000, self._cpu_s)

    def _run(self) -> None:
        self._begun.wait()
        if self._over.is_set():
            return
        looker = self._make(self._root) if self._make is not None else None
        started = last = time.monotonic()
        cpu = time.thread_time()
        pause_s = self._interval_s if looker is None else _FIRST_S
        while not self._over.wait(pause_s):
            now = time.monotonic()
            self._largest_gap_s = max(self._largest_gap_s, now - last)
            last = now
            if looker is not None:
                self._note(looker.look())
            self._attend()
            self._cpu_s = time.thread_time() - cpu
            age_s = time.monotonic() - started
            pause_s = max(min(self._interval_s, age_s * _OF_AGE), self._cpu_s / _MOST_SHARE - age_s)
        self._largest_gap_s = max(self._largest_gap_s, time.monotonic() - last)
        if looker is not None:
            looker.close()

    def _note(self, megabytes: float | None) -> None:
        if megabytes is not None:
            self._looks += 1
            self._peak_mb = max(self._peak_mb or 0.0, megabytes)


class _Looker(Protocol):
    def look(self) -> float | None:
        """MiB of the tree now, None where nothing of it has memory any more."""

    def close(self) -> None:
        """Releases what is held."""


class _ProcLooker:
    def __init__(self, root: int) -> None:
        self._tree = Tree(root, "status")
        self.close = self._tree.close

    def look(self) -> float | None:
        self._tree.look()
        sizes: dict[int, tuple[float, float]] = {}
        total = mark = 0.0
        for pid, content in self._tree.read().items():
            resident, high = status_mb(content, b"VmRSS"), status_mb(content, b"VmHWM")
            if resident is None or high is None or sizes.get(_parent(content)) == (resident, high):
                continue  # a zombie, or a process that vfork has put into its parent's memory until it calls exec
            sizes[pid] = resident, high
            total += resident
            mark = max(mark, high)
        return max(total, mark) or None


def _portable_looker() -> Callable[[int], _Looker]:
    """The looker by psutil; imported here, so that the import takes no time of the command."""
    from harness.measure.portable import PortableTreeReader

    class PortableLooker:
        def __init__(self, root: int) -> None:
            self._reader = PortableTreeReader(root)
            self.close = self._reader.close

        def look(self) -> float | None:
            reading = self._reader.read()
            return reading.peak_mb if reading else None

    return PortableLooker


def _parent(status: bytes) -> int:
    return int(status[status.index(b"\nPPid:") + 6 :].split(None, 1)[0])
