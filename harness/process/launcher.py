"""The supervisor's side: starts a zygote, gets workers from it, and ends them all."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, cast

from harness.errors import Cancelled, WorkerLost
from harness.process import linux, reap
from harness.process.entry import interpreter
from harness.process.zygote import MESSAGE_BYTES

Start = Literal["fork", "fresh", "portable"]
Portable = tuple[subprocess.Popen[bytes], list[threading.Thread], tuple[socket.socket, socket.socket]]
_MARK = "HARNESS_ZYGOTE"
_PATIENCE_S = 0.25  # for the zygote to end all by itself; a cancel must be over within a second


@dataclass(frozen=True)
class Exit:
    """How a worker ended: exit code or signal, resources used, and how many processes it left behind."""

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
    """A started worker: its pid, the supervisor's ends of its channel and of its output, and its exit once known."""

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
        """Releases the supervisor's ends; a thread that reads their other ends sees the end of file."""
        for end in (self.control, self.output):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Launcher:
    """Workers on demand; one zygote serves all jobs of a sweep."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._started: list[dict[str, Any]] = []
        self._known: frozenset[int] = frozenset()
        self._portable: dict[int, Portable] = {}
        self.workers: dict[int, Worker] = {}
        self._open: list[Worker] = []

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's pid while there is one."""
        return self._process.pid if self._process else None

    def fileno(self) -> int:
        """The descriptor that becomes readable when a worker has ended, -1 without a zygote."""
        return self._control.fileno() if self._control else -1

    def warm(self, preload: Sequence[str]) -> None:
        """Starts the zygote, which imports these modules while the caller goes on."""
        if self._process is not None or not linux.IS_LINUX:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._known = frozenset(linux.child_pids(os.getpid()))
        linux.adopt_orphans()  # so that nothing escapes should the zygote itself be killed
        environment = {**os.environ, _MARK: str(os.getpid())}
        with theirs:
            self._process = subprocess.Popen(
                [*interpreter("harness.process.zygote"), str(theirs.fileno()), *preload],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=environment,
            )
        self._control = ours

    def spawn(
        self,
        entry: str,
        *,
        preload: Sequence[str] = (),
        start: Start = "fork",
        path: Sequence[str] = (),
        wake: int | None = None,
        timeout_s: float | None = None,
    ) -> Worker:
        """A worker that runs `entry` ("module:function", called with its channel).

        The wait for the zygote, which may be importing, ends when the descriptor `wake` becomes readable.

        Raises:
            WorkerLost: the zygote ended before it had started the worker, or took longer than `timeout_s`.
            Cancelled: `wake` became readable first.
        """
        request = {"entry": entry, "preload": list(preload), "start": start, "path": list(path)}
        if start == "portable" or not linux.IS_LINUX:
            return self._spawn_portable(request)
        self.warm(preload)
        assert self._control is not None
        control, their_control = socket.socketpair()
        output, their_output = socket.socketpair()
        with their_control, their_output:
            descriptors = [their_control.fileno(), their_output.fileno()]
            with contextlib.suppress(OSError):
                socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        try:
            self._await_start(wake, timeout_s)
        except BaseException:
            control.close()
            output.close()
            raise
        answer = self._started.pop(0)
        worker = Worker(
            answer["started"], control, output, None, answer["failed_imports"], answer["threads"], self.zygote_pid
        )
        self.workers[worker.pid] = worker
        self._open.append(worker)
        return worker

    def _await_start(self, wake: int | None, timeout_s: float | None) -> None:
        while not self._started:
            watched = [self.fileno()] + ([] if wake is None else [wake])
            ready, _, _ = select.select(watched, [], [], timeout_s)
            if wake in ready:
                self.close()  # the fork that was asked for must not come to life later
                raise Cancelled
            if not ready:
                self.close()
                raise WorkerLost(f"no worker within {timeout_s} s: the zygote hangs, probably in an import")
            if not self.collect(block=True):
                raise WorkerLost("the zygote ended before it had started the worker", "the standard error above says why")

    def collect(self, *, block: bool = False) -> bool:
        """Reads one message of the zygote; False when the zygote is gone, and then nothing of it is left."""
        if self._control is None:
            return False
        try:
            content = self._control.recv(MESSAGE_BYTES, 0 if block else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionError:
            content = b""
        if not content:
            self._bury()
            return False
        message = json.loads(content)
        if "started" in message:
            self._started.append(message)
        else:
            self._note_exit(message)
        return True

    def _note_exit(self, message: dict[str, Any]) -> None:
        worker = self.workers.pop(message["exited"], None)
        if worker is None:
            return
        status = message["status"]
        by_signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        worker.exit = Exit(code, by_signal, message["usage"], tuple(message["leftovers"]))

    def _bury(self) -> None:
        """After the zygote's death: reaps it, and ends every process that it would have ended."""
        assert self._process is not None and self._control is not None
        self._process.wait()
        self._control.close()
        session, mark = self._process.pid, f"{_MARK}={os.getpid()}".encode()
        ended = reap.kill_children_except(self._known, lambda pid: _belongs(pid, session, mark))
        for worker in self.workers.values():
            worker.exit = worker.exit or Exit(None, None, {}, tuple(ended - {worker.pid}))
        self.workers.clear()
        self._process = self._control = None

    def _spawn_portable(self, request: dict[str, Any]) -> Worker:
        """A worker without fork, sockets of its own or a zygote: pipes, with threads between them and our sockets."""
        process = subprocess.Popen(
            [*interpreter("harness.process.entry"), json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        control, their_control = socket.socketpair()
        output, their_output = socket.socketpair()
        worker = Worker(process.pid, control, output)
        standard_in, standard_out, standard_error = (
            cast(BinaryIO, pipe) for pipe in (process.stdin, process.stdout, process.stderr)
        )

        def carry(read: Callable[[int], bytes | None], write: Callable[[bytes], object], done: Callable[[], object]) -> None:
            with contextlib.suppress(OSError, ValueError):
                while data := read(65536):
                    write(data)
            with contextlib.suppress(OSError, ValueError):
                done()

        def carry_out() -> None:
            carry(standard_out.read, their_control.sendall, lambda: None)
            code = process.wait()
            reap.kill_group(process.pid)
            worker.exit = Exit(code if code >= 0 else None, -code if code < 0 else None, {})
            with contextlib.suppress(OSError):
                their_control.shutdown(socket.SHUT_RDWR)  # a close alone would leave the reading thread where it is

        pipes = [
            threading.Thread(target=carry_out),
            threading.Thread(target=carry, args=(standard_error.read, their_output.sendall, their_output.close)),
            threading.Thread(target=carry, args=(their_control.recv, standard_in.write, standard_in.close)),
        ]
        for pipe in pipes:
            pipe.daemon = True
            pipe.start()
        self._portable[process.pid] = (process, pipes, (their_control, their_output))
        self._open.append(worker)
        return worker

    def close(self) -> None:
        """Ends the zygote and everything below it, and waits until it is gone."""
        for process, _, _ in self._portable.values():
            reap.kill_group(process.pid)
            process.wait()
        self._end_zygote()
        for worker in self._open:
            worker.close()
        self._open.clear()
        for process, pipes, sockets in self._portable.values():
            for pipe in pipes:  # they end when both the process and our sockets are gone
                pipe.join()
            for end in (*sockets, process.stdin, process.stdout, process.stderr):
                if end is not None:
                    end.close()
        self._portable.clear()

    def _end_zygote(self) -> None:
        if self._control is None:
            return
        assert self._process is not None
        self._control.shutdown(socket.SHUT_WR)
        self._control.settimeout(_PATIENCE_S)
        try:
            while self.collect(block=True):
                pass
        except TimeoutError:  # it is still importing and has not read its socket: end it, then what is below it
            self._process.kill()
            self._bury()

    def __enter__(self) -> "Launcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _belongs(pid: int, session: int, mark: bytes) -> bool:
    """Whether an adopted process came from our zygote: by its session, or by the mark in its environment."""
    try:
        if os.getsid(pid) == session:
            return True
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False
