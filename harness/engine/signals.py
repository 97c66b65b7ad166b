"""SIGINT and SIGTERM as a flag that wakes the supervisor's wait, so that a cancel is an outcome and no traceback."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType


class CancelRequest:
    """Whether the person wants an end; `fileno` becomes readable at that moment."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self.asked = False
        self.times = 0

    def fileno(self) -> int:
        """Readable once a cancel was asked for."""
        return self._reader.fileno()

    def ask(self) -> None:
        """Asks for the end; async-signal and thread safe."""
        self.asked = True
        self.times += 1
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def drain(self) -> None:
        """Takes the wake-up off, so that the wait sleeps again."""
        with contextlib.suppress(OSError):
            self._reader.recv(4096)

    def close(self) -> None:
        """Releases the descriptors."""
        self._reader.close()
        self._writer.close()


@contextlib.contextmanager
def catching_signals(request: CancelRequest) -> Iterator[None]:
    """Turns SIGINT and SIGTERM into `request.ask()` while the block runs; a no-op outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        request.ask()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
