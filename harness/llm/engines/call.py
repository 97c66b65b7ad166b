"""One request under way in this process: what the engine's thread notes, and what those who wait for it decide."""

import threading
import time
from typing import Any, NamedTuple

from harness.llm.exchange import Exchange, Failure, Reason
from harness.llm.schedule import Patience


class Noted(NamedTuple):
    """A chunk with the moment at which the engine handed it over."""

    at_ns: int
    chunk: Any


class Call:
    """Filled by the thread that is inside the engine; ended by it, or from outside when it takes too long."""

    def __init__(self, exchange: Exchange, patience: Patience) -> None:
        self.exchange = exchange
        self.noted: list[Noted] = []
        self.returned = threading.Event()  # the engine has let go of it
        self._patience = patience
        self._stop = False
        self._lock = threading.Lock()
        self._last_ns = 0

    def begin(self) -> None:
        """Called just before the engine is."""
        self._last_ns = self.exchange.sent_ns = time.monotonic_ns()

    def note(self, chunk: Any) -> bool:
        """Keeps a chunk; True asks the engine to stop. Nothing is read here, because the model waits meanwhile."""
        now_ns = time.monotonic_ns()
        if not self._stop:
            self.noted.append(Noted(now_ns, chunk))
            self._last_ns = now_ns
        return self._stop

    def finish(self, failure: Failure | None) -> None:
        """The engine has returned; what it gives after the call was ended from outside does not count."""
        with self._lock:
            if not self._stop:
                self._stop = True
                self._close(failure)
        self.returned.set()

    def abandon(self, reason: Reason, message: str) -> None:
        """Ends the call from outside and asks the engine to stop at the next chunk."""
        with self._lock:
            if not self._stop:
                self._stop = True
                self._close(Failure(reason, message))

    def _close(self, failure: Failure | None) -> None:
        self.exchange.failure = failure
        self.exchange.headers_ns = self.noted[0].at_ns if self.noted else 0
        ended = failure is None and self.noted
        self.exchange.ended_ns = self.noted[-1].at_ns if ended else time.monotonic_ns()

    @property
    def stopped(self) -> bool:
        """Whether the engine is to stop."""
        return self._stop

    @property
    def under_way(self) -> bool:
        """Whether it was sent and has no outcome yet."""
        return self.exchange.sent_ns > 0 and not self._stop

    def overdue(self, now_ns: int) -> str | None:
        """Which of the times that it may take is over."""
        sent_ns, patience = self.exchange.sent_ns, self._patience
        if not self.noted and now_ns - sent_ns > patience.first_byte_s * 1e9:
            return f"nothing came within {patience.first_byte_s:g} s"
        if self.noted and now_ns - self._last_ns > patience.silence_s * 1e9:
            return f"nothing more came for {patience.silence_s:g} s"
        if now_ns - sent_ns > patience.total_s * 1e9:
            return f"not done within {patience.total_s:g} s"
        return None
