"""Server-sent events out of the bytes of a stream (WHATWG HTML, 9.2.6), read by read."""

from typing import NamedTuple


class Event(NamedTuple):
    """One event's data, its name where it has one, and the read in which its last line of data ended."""

    data: bytes
    name: bytes
    read: int


class EventReader:
    """Keeps what is unfinished between two reads; comments, ids and retry times are passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._name = b""
        self._read = 0

    def feed(self, body: bytes, read: int) -> list[Event]:
        """The events that this read completes."""
        whole = body.startswith(b"data: {") and body.endswith(b"}\n\n") and body.count(b"\n") == 2
        if whole and not self._rest and not self._data:  # nearly every read is exactly one event
            name, self._name = self._name, b""
            return [Event(body[6:-2], name, read)]
        lines = (self._rest + body if self._rest else body).split(b"\n")
        self._rest = lines.pop()
        found: list[Event] = []
        for line in lines:
            if line.startswith(b"data: {"):
                self._data.append(line[6:])
                self._read = read
            elif line in (b"", b"\r"):
                if self._data:
                    found.append(self._event())
                self._name = b""
            else:
                self._line(line, read)
        return found

    def _line(self, line: bytes, read: int) -> None:
        name, _, value = line.rstrip(b"\r").partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._read = read
        elif name == b"event":
            self._name = value
        elif name == b"error":  # older llama.cpp: a line `error: {…}` instead of an event
            self._data.append(b'{"error":' + value + b"}")
            self._read = read

    def _event(self) -> Event:
        data = self._data[0].rstrip(b"\r") if len(self._data) == 1 else b"\n".join(d.rstrip(b"\r") for d in self._data)
        self._data = []
        return Event(data, self._name, self._read)

    def flush(self, read: int) -> list[Event]:
        """The event that the stream ended in, where only its blank line is missing."""
        if self._rest:
            self._line(self._rest, read)
            self._rest = b""
        return [self._event()] if self._data else []
