"""What the measured work prints: kept in a file, redacted line by line, and bounded."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.process.channel import Lines

LIMIT_BYTES = 8 << 20


class OutputLog:
    """The file `worker.log`; past its bound the output is counted and no longer kept."""

    def __init__(self, path: Path, redact: Callable[[Any], Any], limit_bytes: int = LIMIT_BYTES) -> None:
        """Creates the file.

        Raises:
            OSError: it cannot be written.
        """
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        self._redact = redact
        self._lines = Lines(longest=1 << 16)
        self._left = limit_bytes
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Takes bytes as they come; whole lines go to the file."""
        for line in self._lines.feed(data):
            self._keep(line + b"\n")

    def _keep(self, line: bytes) -> None:
        if self._left <= 0:
            self._dropped += len(line)
            return
        text = self._redact(line.decode("utf-8", "backslashreplace"))
        self._left -= len(line)
        with contextlib.suppress(OSError):  # output is a help for people; a full disk shows at the samples and events
            os.write(self._descriptor, text.encode("utf-8", "replace"))

    def close(self) -> None:
        """Writes what is left and says how much was dropped."""
        rest = self._lines.rest()
        if rest:
            self._keep(rest + b"\n")
        if self._dropped:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, f"[{self._dropped} more bytes were not kept]\n".encode())
        os.close(self._descriptor)
