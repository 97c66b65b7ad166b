"""CPU time and memory of a server's process tree while a load runs; unavailable, with the reason, elsewhere.

Memory is the resident size of all processes, looked at from a thread; CPU time is the kernel's own count. Both belong
to the server alone: never to the client, unless the model runs in the client's own process, which is then said.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.llm.engine import Served
from harness.measure.proc import TreeReader, TreeReading, high_water_mb, is_usable

REMOTE = "not-on-this-host: the server's processes cannot be seen from here"
_GONE = "gone: the server's process had ended before its memory was looked at"
_INTERVAL_S = 0.05
_MOST_SHARE = 0.01  # of a core for looking; looks become rarer where a look costs more


@dataclass(frozen=True)
class Usage:
    """What a process tree used between `begin` and `finish`; all None with a `reason` where that cannot be told."""

    cpu_s: float | None = None
    rss_peak_mb: float | None = None
    rss_mean_mb: float | None = None  # over time, not over looks
    looks: int = 0
    largest_gap_ms: float = 0.0  # between two looks: a peak that was shorter may have been missed
    reason: str | None = None
    basis: str = ""

    def as_attributes(self) -> dict[str, Any]:
        """The same for an event."""
        return dict(vars(self))


class TreeUsage:
    """Watches the process `pid` and all below it; with None every answer is unavailable, for `reason`."""

    def __init__(
        self,
        pid: int | None,
        reason: str = REMOTE,
        *,
        basis: str = "the server's process tree",
        interval_s: float = _INTERVAL_S,
        limit_mb: float | None = None,
        over_limit: Callable[[float], None] = lambda megabytes: None,
    ) -> None:
        """`over_limit` is called once, from the watching thread, when a look finds more than `limit_mb`."""
        self._pid = pid
        self._reason = reason
        self._basis = basis
        self._interval_s = interval_s
        self._limit_mb = limit_mb
        self._over_limit = over_limit
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._first: TreeReading | None = None
        self._last: TreeReading | None = None
        self._reset()

    def _reset(self) -> None:
        self._looks = 0
        self._peak_mb = 0.0
        self._mark_mb: float | None = None
        self._area = 0.0  # MiB times seconds
        self._watched_s = 0.0
        self._largest_gap_s = 0.0
        self._precise: tuple[float, float] | None = None

    def begin(self) -> None:
        """Starts to watch; a second call before `finish` does nothing."""
        if self._pid is None or self._thread is not None:
            return
        self._reset()
        self._over.clear()
        self._first = self._last = None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(ready,), name="server-usage", daemon=True)
        self._thread.start()
        ready.wait()

    def finish(self) -> Usage:
        """Ends the watch and gives what it found."""
        if self._pid is None:
            return Usage(reason=self._reason)
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None
        if self._first is None or self._last is None or self._pid is None:
            return Usage(reason=_GONE)
        cpu_s = self._last.cpu_s - self._first.cpu_s
        if self._precise is not None:
            cpu_s = self._precise[1] - self._precise[0]
        mean_mb = self._area / self._watched_s if self._watched_s > 0 else self._last.resident_mb
        return Usage(cpu_s, self._peak(), mean_mb, self._looks, self._largest_gap_s * 1000, basis=self._basis)

    def _peak(self) -> float:
        """The most that a look found, or the kernel's own mark where that rose meanwhile and so lies in this watch."""
        mark = high_water_mb(self._pid) if self._pid is not None and is_usable() else None
        if mark is not None and self._mark_mb is not None and mark > self._mark_mb:
            return max(mark, self._peak_mb)
        return self._peak_mb

    def _watch(self, ready: threading.Event) -> None:
        assert self._pid is not None
        reader = _reader(self._pid)
        try:
            self._mark_mb = high_water_mb(self._pid) if is_usable() else None
            start_s = _cpu_clock_s(self._pid)
            self._look(reader, 0.0)
            ready.set()
            last = time.monotonic()
            cpu = time.thread_time()
            pause_s = self._interval_s
            over = False
            while not over:
                over = self._over.wait(pause_s)
                now = time.monotonic()
                self._look(reader, now - last)
                last = now
                cost_s = (time.thread_time() - cpu) / self._looks if self._looks else 0.0
                pause_s = max(self._interval_s, cost_s / _MOST_SHARE)
            self._note_precise(start_s)
        finally:
            ready.set()
            reader.close()

    def _note_precise(self, start_s: float | None) -> None:
        """Nanoseconds instead of clock ticks, where the tree was one process all along."""
        end_s = _cpu_clock_s(self._pid) if self._pid is not None else None
        alone = self._first is not None and self._last is not None and self._first.processes == 1
        if start_s is not None and end_s is not None and alone and self._last is not None and self._last.processes == 1:
            self._precise = start_s, end_s

    def _look(self, reader: Any, since_s: float) -> None:
        reading: TreeReading | None = reader.read()
        if reading is None:
            return
        self._first = self._first or reading
        before = self._last or reading
        self._area += since_s * (before.resident_mb + reading.resident_mb) / 2
        self._watched_s += since_s
        self._last = reading
        self._looks += 1
        self._largest_gap_s = max(self._largest_gap_s, since_s)
        self._peak_mb = max(self._peak_mb, reading.resident_mb)
        if self._limit_mb is not None and reading.resident_mb > self._limit_mb:
            self._limit_mb = None
            self._over_limit(reading.resident_mb)


def usage_of(served: Served, own_pid: int) -> TreeUsage:
    """The watch over what answers; `own_pid` is the process of the client."""
    if served.pid is None:
        return TreeUsage(None, str(served.settings.get("pid_unknown", REMOTE)))
    if served.pid == own_pid:
        return TreeUsage(served.pid, basis="the process that holds the model and also sends the requests")
    return TreeUsage(served.pid)


def _reader(pid: int) -> Any:
    if is_usable():
        return TreeReader(pid)
    from harness.measure.portable import PortableTreeReader

    return PortableTreeReader(pid)


def _cpu_clock_s(pid: int) -> float | None:
    """CPU time of another process to the nanosecond, all its threads (the clock of `clock_getcpuclockid(3)`)."""
    if not is_usable():
        return None
    with contextlib.suppress(OSError, OverflowError):
        return time.clock_gettime((~pid << 3) | 2)
    return None
