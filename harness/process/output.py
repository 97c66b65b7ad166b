"""Keeps the beginning and the end of what a child prints, however much that is, and never lets it block."""

import contextlib
import io
import os
import sys
import threading
from dataclasses import dataclass

_PIPE_BYTES = 1 << 20  # the most that Linux gives without privileges; fewer switches between printer and reader


@dataclass(frozen=True)
class Output:
    """What was printed: all of it, or its first and last bytes when it was more than the limit."""

    head: bytes
    tail: bytes
    total: int

    @property
    def dropped(self) -> int:
        """Bytes printed between head and tail, which were not kept."""
        return self.total - len(self.head) - len(self.tail)

    @property
    def text(self) -> str:
        """What was kept as text; bytes that are not UTF-8 become replacement characters, a gap a line of its own."""
        gap = f"\n[... {self.dropped} bytes not kept ...]\n".encode() if self.dropped else b""
        return (self.head + gap + self.tail).decode("utf-8", "replace")


def _widen(descriptor: int) -> None:
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # the user's pipe allowance is used up; the default size works too
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class Drain:
    """The reading end of a child's output; a thread empties it, so that the child waits as little as it can."""

    def __init__(self, limit: int) -> None:
        """Makes a pipe of which at most `limit` bytes from the beginning and as many from the end are kept."""
        self._reader, self.write_end = os.pipe()
        self._limit = limit
        self._head = bytearray()
        self._ring = memoryview(bytearray(limit))
        self._total = 0
        _widen(self.write_end)
        self._thread = threading.Thread(target=self._empty, name="output-drain", daemon=True)
        self._thread.start()

    def _empty(self) -> None:
        position = 0
        with io.FileIO(self._reader, "rb") as reader:
            while count := reader.readinto(self._ring[position:]):
                if len(self._head) < self._limit:
                    self._head += self._ring[position : position + min(count, self._limit - len(self._head))]
                self._total += count
                position = (position + count) % self._limit

    def release(self) -> None:
        """Closes this process's copy of the writing end, after the child has its own."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def finish(self, timeout_s: float = 1.0) -> Output:
        """What was kept, once every writer has closed its end; after `timeout_s`, what there was until then."""
        self.release()
        self._thread.join(timeout_s)
        total, position = self._total, self._total % self._limit
        head = bytes(self._head)
        beyond = min(total - len(head), self._limit)
        newest_first = bytes(self._ring[position:]) + bytes(self._ring[:position])
        return Output(head, newest_first[len(newest_first) - beyond :], total)
