"""One connection to the zygote: workers asked for, and the exits of those workers."""

import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.errors import Cancelled, WorkerLost
from harness.process import reap

MESSAGE_BYTES = 1 << 16
Start = Literal["fork", "fresh", "portable"]


@dataclass(frozen=True)
class Exit:
    """How a worker ended: exit code or signal, resources used, and which processes it left behind."""

    code: int | None
    signal: int | None
    usage: Mapping[str, float]
    leftovers: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by {signal.Signals(self.signal).name}"
        return f"exit code {self.code}" if self.code is not None else "gone without an exit status"


@dataclass
class Worker:
    """A started worker: its pid, our ends of its channel and of its output, and its exit once known."""

    pid: int
    control: socket.socket
    output: socket.socket
    exit: Exit | None = None
    failed_imports: Mapping[str, str] = field(default_factory=dict)
    zygote_threads: int = 1
    zygote_pid: int | None = None

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends one JSON line; a worker that is gone shows by its exit, not here."""
        with contextlib.suppress(OSError):
            self.control.sendall(json.dumps(message).encode() + b"\n")

    def terminate(self) -> None:
        """Asks the worker itself, not its children, to end."""
        if self.exit is None:
            reap.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Ends the worker and its group now."""
        if self.exit is None:
            reap.kill_group(self.pid)

    def close(self) -> None:
        """Releases our ends; a thread that reads their other ends sees the end of file."""
        for end in (self.control, self.output):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@dataclass(frozen=True)
class Request:
    """What a worker is to be: the function it runs, imports made before the fork, and extra import folders."""

    entry: str
    preload: Sequence[str] = ()
    start: Start = "fork"
    path: Sequence[str] = ()
    connected: bool = False  # the worker gets a connection of its own to the zygote, for processes that serve it


class ZygoteClient:
    """The asking side of a connection; answers to requests come in their order, exits between them."""

    def __init__(self, control: socket.socket, zygote_pid: int | None = None) -> None:
        self.control = control
        self.zygote_pid = zygote_pid
        self.workers: dict[int, Worker] = {}
        self._pending: list[tuple[socket.socket, socket.socket]] = []
        self._started: list[Worker] = []

    def ask(self, request: Request, descriptors: Sequence[int] = ()) -> None:
        """Asks for a worker without waiting; `take` gives it once the zygote has forked it.

        `descriptors` are inherited by the worker, behind its channel and its output.
        """
        control, their_control = socket.socketpair()
        output, their_output = socket.socketpair()
        with their_control, their_output:
            passed = [their_control.fileno(), their_output.fileno(), *descriptors]
            with contextlib.suppress(OSError):  # a zygote that is gone shows at the next read
                socket.send_fds(self.control, [json.dumps(vars(request)).encode()], passed)
        self._pending.append((control, output))

    def take(self) -> Worker | None:
        """The oldest worker that was asked for and has started, None while there is none."""
        return self._started.pop(0) if self._started else None

    def await_worker(self, wake: int | None = None, timeout_s: float | None = None) -> Worker:
        """Waits for the next worker.

        Raises:
            WorkerLost: the zygote has ended, or took longer than `timeout_s`.
            Cancelled: the descriptor `wake` became readable first.
        """
        while (worker := self.take()) is None:
            watched = [self.control.fileno()] + ([] if wake is None else [wake])
            ready, _, _ = select.select(watched, [], [], timeout_s)
            if wake in ready:
                raise Cancelled
            if not ready:
                raise WorkerLost(f"no worker within {timeout_s} s: the zygote hangs, probably in an import")
            if not self.collect(block=True):
                raise WorkerLost("the zygote ended before it had started the worker", "standard error says why")
        return worker

    def collect(self, *, block: bool = False) -> bool:
        """Reads one message of the zygote, if there is one; False when the zygote is gone."""
        try:
            content = self.control.recv(MESSAGE_BYTES, 0 if block else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        if not content:
            return False
        message = json.loads(content)
        if "started" in message:
            self._note_start(message)
        else:
            self._note_exit(message)
        return True

    def _note_start(self, message: dict[str, Any]) -> None:
        control, output = self._pending.pop(0)
        worker = Worker(
            message["started"], control, output, None, message["failed_imports"], message["threads"], self.zygote_pid
        )
        self.workers[worker.pid] = worker
        self._started.append(worker)

    def _note_exit(self, message: dict[str, Any]) -> None:
        worker = self.workers.pop(message["exited"], None)
        if worker is None:
            return
        status = message["status"]
        by_signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        worker.exit = Exit(code, by_signal, message["usage"], tuple(message["leftovers"]))

    def bury(self, ended: set[int]) -> None:
        """After the zygote's end: every worker is gone too, and nobody can tell how."""
        for worker in self.workers.values():
            worker.exit = worker.exit or Exit(None, None, {}, tuple(ended - {worker.pid}))
        self.workers.clear()
        self.close()

    def close(self) -> None:
        """Closes the connection; the zygote then ends the workers that were asked for through it."""
        self.control.close()
        for ends in self._pending:
            for end in ends:
                end.close()
        self._pending.clear()
        for worker in self._started:
            worker.close()
        self._started.clear()
