"""Calls without processes: the same functions in the caller's own thread, for systems and tests that want no others.

Nothing can be ended here. A late call is told after it has come back, so a stuck one is stuck for good: this is what
the knob costs.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from harness.errors import DeadlineExceeded
from harness.process.calls import CallRecord, Handle, Observer


class InlineCalls:
    """Does each call at once, and says afterwards whether it was late."""

    def __init__(self, observe: Observer | None = None) -> None:
        self._observe = observe
        self.counts: Counter[str] = Counter()

    def call(self, function: Callable[..., Any], *arguments: Any, deadline_s: float, name: str = "") -> Any:
        """The function's result.

        Raises:
            DeadlineExceeded: it came back too late; its result is dropped.
            Exception: whatever the function raised.
        """
        name = name or function.__name__
        started_ns = time.monotonic_ns()
        self.counts["submitted"] += 1
        try:
            result = function(*arguments)
        except Exception:
            self._note(name, "failed", started_ns, deadline_s)
            raise
        if time.monotonic_ns() - started_ns > deadline_s * 1e9:
            self._note(name, "timed_out", started_ns, deadline_s)
            raise DeadlineExceeded(name, deadline_s)
        self._note(name, "completed", started_ns, deadline_s)
        return result

    def submit(self, function: Callable[..., Any], *arguments: Any, deadline_s: float, name: str = "") -> Handle:
        """Does the call now; the handle that it gives has ended already."""
        handle = Handle(self, name or function.__name__, deadline_s)
        try:
            answer: tuple[bool, Any] = (True, self.call(function, *arguments, deadline_s=deadline_s, name=name))
        except Exception as error:
            answer = (False, error)
        handle.settle(answer)
        return handle

    def cancel(self, handle: Handle) -> None:
        """No effect: every handle has ended."""

    def _note(self, name: str, outcome: Any, started_ns: int, deadline_s: float) -> None:
        self.counts[outcome] += 1
        if self._observe is not None:
            latency_s = (time.monotonic_ns() - started_ns) / 1e9
            self._observe(CallRecord(name, outcome, latency_s, deadline_s, censored=False))

    def close(self, timeout_s: float = 5.0) -> None:
        """Nothing to end."""
