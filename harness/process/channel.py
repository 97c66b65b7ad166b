"""JSON lines in both directions between supervisor and worker."""

import json
import socket
from collections.abc import Mapping
from typing import Any, BinaryIO, cast


class Channel:
    """The worker's end: blocking reads, one write a message."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    def from_descriptor(cls, descriptor: int) -> "Channel":
        """A channel over an inherited stream socket."""
        end = socket.socket(fileno=descriptor)
        return cls(cast(BinaryIO, end.makefile("rb")), cast(BinaryIO, end.makefile("wb", buffering=0)))

    def fileno(self) -> int:
        """The descriptor below, for those who speak another language on it."""
        return self._reader.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends one message.

        Raises:
            TypeError, ValueError: the message holds what JSON cannot.
            OSError: the supervisor is gone.
        """
        remaining = memoryview(json.dumps(message, allow_nan=False).encode() + b"\n")
        while remaining:
            remaining = remaining[self._writer.write(remaining) :]

    def receive(self) -> dict[str, Any] | None:
        """The next message, None when the supervisor is gone."""
        line = self._reader.readline()
        return cast(dict[str, Any], json.loads(line)) if line.endswith(b"\n") else None


class Lines:
    """The supervisor's side of a byte stream: whole lines out of whatever pieces arrive, each of bounded length."""

    def __init__(self, longest: int = 1 << 20) -> None:
        self._pending = bytearray()
        self._longest = longest

    def feed(self, data: bytes) -> list[bytes]:
        """The lines completed by these bytes; a line longer than the bound is handed out in pieces."""
        self._pending += data
        *whole, rest = self._pending.split(b"\n")
        self._pending = rest
        lines = [bytes(line) for line in whole]
        if len(rest) > self._longest:
            lines.append(self.rest())
        return lines

    def rest(self) -> bytes:
        """What is left without a line end; the buffer is empty afterwards."""
        rest, self._pending = bytes(self._pending), bytearray()
        return rest
