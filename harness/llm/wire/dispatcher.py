"""The thread that lets things go at their time: late by microseconds, never early."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

SPIN_NS = 300_000  # a sleeping thread wakes up 50 to 250 us late; the rest of the way it asks the clock


class Dispatcher(threading.Thread):
    """Sleeps to shortly before a thing is due, then turns; `release` is called with it in this thread.

    The last stretch gives the interpreter up in every turn: a loop that held it would delay the reading thread by
    the interpreter's whole switch interval.
    """

    def __init__(self, release: Callable[[Any], None]) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._release = release
        self._changed = threading.Condition()
        self._due: list[tuple[int, int, Any]] = []
        self._order = itertools.count()
        self._stopped = False

    def push(self, due_ns: int, thing: Any) -> None:
        """Lets the thing go at this time of the monotonic clock."""
        with self._changed:
            heapq.heappush(self._due, (due_ns, next(self._order), thing))
            self._changed.notify()

    def run(self) -> None:
        """Lets one after the other go, until stopped."""
        clock, rest = time.monotonic_ns, time.sleep
        while (due := self._next()) is not None:
            due_ns, _, thing = due
            while clock() < due_ns:
                rest(0)
            self._release(thing)

    def _next(self) -> tuple[int, int, Any] | None:
        """The next thing, once it is nearly due; None when stopped."""
        with self._changed:
            while not self._stopped:
                if not self._due:
                    self._changed.wait()
                    continue
                left = self._due[0][0] - time.monotonic_ns() - SPIN_NS
                if left <= 0:
                    return heapq.heappop(self._due)
                self._changed.wait(left / 1e9)
            return None

    def stop(self) -> None:
        """Ends the thread; what is not due yet never goes."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self.is_alive():
            self.join()
