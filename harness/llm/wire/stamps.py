"""The kernel's own arrival times: asked for by a socket option, read beside the data, moved to the monotonic clock.

The kernel stamps a segment when it arrives, whatever the reader is doing then (socket(7), SO_TIMESTAMPNS). Of several
segments that one call returns it gives the newest stamp only, so a read says nothing about the older bytes in it.
"""

import os
import socket
import struct
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

OPTION = 35  # SO_TIMESTAMPNS of asm-generic/socket.h; Python's socket module does not name it
TOLERANCE_NS = 20_000  # a wall clock that moved by less was not set
ROUNDS = 5
FORCED_OFF = "HARNESS_FORCE_USER_CLOCK"

_TIMESPEC = struct.Struct("@ll")
SPACE = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0

Ancillary = Sequence[tuple[int, int, bytes]]


def offered() -> bool:
    """Whether this system stamps; the environment variable HARNESS_FORCE_USER_CLOCK says no, which tests use."""
    if os.environ.get(FORCED_OFF, "") not in ("", "0") or not sys.platform.startswith("linux"):
        return False
    with socket.socket() as tried:
        return ask(tried)


def ask(asked: socket.socket) -> bool:
    """Asks the kernel to stamp what this socket receives; False where it does not."""
    try:
        asked.setsockopt(socket.SOL_SOCKET, OPTION, 1)
    except OSError:
        return False
    return True


def stamp_of(ancillary: Ancillary) -> int | None:
    """The wall-clock nanoseconds beside a read, None where the kernel gave none."""
    for level, kind, data in ancillary:
        if kind == OPTION and level == socket.SOL_SOCKET and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return None


class Difference(NamedTuple):
    """The wall clock minus the monotonic clock, and how long the reading of both took."""

    ns: int
    width_ns: int


def difference(rounds: int = ROUNDS) -> Difference:
    """The difference of the two clocks, from the quickest of some readings."""
    best = Difference(0, 1 << 62)
    for _ in range(rounds):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best.width_ns:
            best = Difference(wall - (before + after) // 2, after - before)
    return best


class Offsets:
    """Moves stamps to the monotonic clock, by the difference of the clocks at their time.

    The two clocks are slewed alike, so the difference changes only when somebody sets the wall clock. `check` is called
    now and then; a stamp from between two checks that disagree cannot be moved.
    """

    def __init__(self, measure: Callable[[], Difference] = difference) -> None:
        self._measure = measure
        self._ends: list[int] = []  # of the stretches whose difference is known, and of the doubtful ones between
        self._of: list[int | None] = []
        self._current = measure().ns
        self._checked = time.monotonic_ns()

    @property
    def steps(self) -> int:
        """How often the wall clock was set while this looked on."""
        return self._of.count(None)

    def check(self) -> None:
        """Compares the clocks again; a reading that was itself disturbed says nothing."""
        found = self._measure()
        now = time.monotonic_ns()
        if found.width_ns > TOLERANCE_NS:
            return
        if abs(found.ns - self._current) > TOLERANCE_NS:
            self._ends += [self._checked, now]
            self._of += [self._current, None]
            self._current = found.ns
        self._checked = now

    def monotonic(self, stamp_ns: int, read_ns: int) -> int | None:
        """The stamp on the monotonic clock, None where it cannot be said or would lie after its own reading."""
        offset: int | None = self._current
        if self._ends:
            at = bisect_left(self._ends, read_ns)
            offset = self._of[at] if at < len(self._of) else self._current
        if offset is None:
            return None
        moved = stamp_ns - offset
        return moved if moved <= read_ns + TOLERANCE_NS else None


def arrival(ancillary: Any, read_ns: int, offsets: Offsets) -> int | None:
    """When the newest byte of a read arrived by the kernel, never after the reading; None without a usable stamp."""
    stamp = stamp_of(ancillary) if ancillary else None
    if stamp is None:
        return None
    moved = offsets.monotonic(stamp, read_ns)
    return None if moved is None else min(moved, read_ns)
