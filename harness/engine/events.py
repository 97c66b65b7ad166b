"""The one stream of what happened: every reader (record, progress, alerts) hangs on it, the journal first."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from harness.journal.lines import Journal

Listener = Callable[[Mapping[str, Any]], None]


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds and a Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class EventStream:
    """Numbers, stamps and redacts each event, writes it to the journal, then tells the listeners.

    A listener that raises is taken off and the failure becomes an event: readers may fail without harming the run.
    """

    def __init__(self, journal: Journal, trace_id: str, redact: Callable[[Any], Any] = lambda value: value) -> None:
        self._journal = journal
        self._trace_id = trace_id
        self._redact = redact
        self._sequence = 0
        self._listeners: list[Listener] = []
        self.counts: Counter[str] = Counter()

    def listen(self, listener: Listener) -> None:
        """Adds a reader of all events from now on."""
        self._listeners.append(listener)

    def emit(self, name: str, level: str = "info", /, **attributes: Any) -> None:
        """Records an event; it is acknowledged when this returns.

        Raises:
            StoreLost: the journal cannot be written.
        """
        fixed = {"time": now(), "seq": self._sequence, "trace_id": self._trace_id, "level": level, "event": name}
        event = {**self._redact(attributes), **fixed}
        event = {**fixed, **event}  # the fixed fields come first in the line, and win
        self._journal.append(event)
        self._sequence += 1
        self.counts[name] += 1
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as error:
                self._listeners.remove(listener)
                self.emit("engine.listener_failed", "warning", listener=repr(listener), error=repr(error))

    def sync(self) -> None:
        """Brings the events so far to the disk."""
        self._journal.sync()

    def close(self) -> None:
        """Ends the stream."""
        self._journal.close()
