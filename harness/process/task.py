"""A process that does one call at a time: both ends of its pipe, and the memory that it shares with the caller.

A message is a header, a pickled function and the pickled arguments, or a header and the pickled answer. Both ends are
processes of ours that were forked from one zygote; nothing that came from a file is ever unpickled here. Functions are
pickled by name, once each: a name takes longer to look up than an empty call takes to travel.
"""

import contextlib
import mmap
import os
import pickle
import select
import struct
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from harness.process import entry, reap
from harness.process.channel import Channel
from harness.process.client import Worker

ENTRY = "harness.process.task:serve"
_HEADER = struct.Struct("<QIII")  # length of the pickle, generation, number, length of the function in front of it
_PIECE = 1 << 16


class RemoteError(Exception):
    """An exception of the called function whose own type cannot travel; its text and traceback are kept."""


class TaskLost(Exception):
    """The process of a call ended before it answered: killed, crashed, or ended by the call itself."""


@dataclass
class Task:
    """The caller's end of one process."""

    worker: Worker
    generation: int
    arena: mmap.mmap | None = None
    number: int = 0
    _buffer: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.fd = self.worker.control.fileno()
        self.worker.control.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def send(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Hands a call to the process.

        Raises:
            TaskLost: the process is gone.
            pickle.PicklingError, AttributeError, TypeError: function or arguments cannot travel.
        """
        self.number += 1
        name, content = _named(function), pickle.dumps(arguments, protocol=5)
        length = len(name) + len(content)
        data = _HEADER.pack(length, self.generation, self.number, len(name)) + name + content
        try:
            sent = os.write(self.fd, data)
            while sent < len(data):  # more than the socket holds: the process reads while we write
                self._writable()
                sent += os.write(self.fd, memoryview(data)[sent:])
        except OSError as error:
            raise TaskLost(f"process {self.worker.pid} is gone: {error.strerror}") from error

    def _writable(self) -> None:
        select.select([], [self.fd], [], 1.0)

    def receive(self, until_ns: int) -> tuple[bool, Any] | None:
        """Waits for the answer until a time of the monotonic clock; None when that has passed.

        An answer of an older call, or of an older generation, is dropped.

        Raises:
            TaskLost: the process ended.
        """
        while (answer := self.take()) is None:
            left_ns = until_ns - time.monotonic_ns()
            if left_ns <= 0:
                return None
            # Rounded up: a wait that ended early would turn round for nothing.
            if not self._poll.poll(-(-left_ns // 1_000_000)):
                continue
            self.feed()
        return answer

    def feed(self) -> None:
        """Reads what has arrived.

        Raises:
            TaskLost: the process ended.
        """
        try:
            data = os.read(self.fd, _PIECE)
        except BlockingIOError:
            return
        except OSError as error:
            raise TaskLost(f"process {self.worker.pid} is gone: {error.strerror}") from error
        if not data:
            raise TaskLost(f"process {self.worker.pid} ended before it answered")
        self._buffer += data

    def take(self) -> tuple[bool, Any] | None:
        """The answer of the present call, if all of it is here."""
        while len(self._buffer) >= _HEADER.size:
            length, generation, number, _ = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return None
            content = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            if (generation, number) == (self.generation, self.number):
                answer: tuple[bool, Any] = pickle.loads(content)  # noqa: S301 - from a fork of our own zygote
                return answer
        return None

    def kill(self) -> None:
        """Ends the process, whatever it does."""
        reap.kill_group(self.worker.pid)
        self.worker.close()
        if self.arena is not None:
            with contextlib.suppress(BufferError):  # someone still holds a view of it
                self.arena.close()


_arena: mmap.mmap | None = None


def arena() -> mmap.mmap:
    """The memory that this process shares with its caller; for functions that are called here.

    Raises:
        LookupError: the caller gave none.
    """
    if _arena is None:
        raise LookupError("this process was started without a shared arena")
    return _arena


def serve(channel: Channel) -> int:
    """The entry of the process: does calls until the caller is gone."""
    global _arena
    if entry.inherited.descriptors:
        _arena = mmap.mmap(entry.inherited.descriptors[0], 0)
    descriptor = channel.fileno()
    _do(_named(int), pickle.dumps((), protocol=5))  # touches the pages that the first real call would wait for
    buffer = bytearray()
    while data := os.read(descriptor, _PIECE):
        buffer += data
        while len(buffer) >= _HEADER.size:
            length, generation, number, name = _HEADER.unpack_from(buffer)
            end = _HEADER.size + length
            if len(buffer) < end:
                break
            arguments = _HEADER.size + name
            answer = _do(bytes(buffer[_HEADER.size : arguments]), bytes(buffer[arguments:end]))
            del buffer[:end]
            message = memoryview(_HEADER.pack(len(answer), generation, number, 0) + answer)
            while message:
                message = message[os.write(descriptor, message) :]
    return 0


def _do(name: bytes, content: bytes) -> bytes:
    try:
        function = _function(name)
        arguments = pickle.loads(content)  # noqa: S301 - from the process that was forked with this one
        return pickle.dumps((True, function(*arguments)), protocol=5)
    except BaseException as error:
        return _failure(error)


@cache
def _named(function: Callable[..., Any]) -> bytes:
    return pickle.dumps(function, protocol=5)


@cache
def _function(name: bytes) -> Callable[..., Any]:
    found: Callable[..., Any] = pickle.loads(name)  # noqa: S301 - from the process that was forked with this one
    return found


def _failure(error: BaseException) -> bytes:
    """The exception itself where it survives the journey, else its text."""
    text = "".join(traceback.format_exception(error))
    try:
        content = pickle.dumps((False, error), protocol=5)
        pickle.loads(content)  # noqa: S301 - an exception may pickle and yet not unpickle
    except Exception:
        return pickle.dumps((False, RemoteError(f"{type(error).__name__}: {error}\n{text}")), protocol=5)
    return content
