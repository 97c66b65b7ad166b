"""The supervisor's side: starts a zygote, gets workers from it, and ends them all."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Sequence

from harness.errors import Cancelled, WorkerLost
from harness.process import linux, portable, reap
from harness.process.client import Exit, Request, Start, Worker, ZygoteClient
from harness.process.entry import interpreter

_MARK = "HARNESS_ZYGOTE"
_PATIENCE_S = 0.25  # for the zygote to end all by itself; a cancel must be over within a second


class Launcher:
    """Workers on demand; one zygote serves all jobs of a sweep."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._client: ZygoteClient | None = None
        self._known: frozenset[int] = frozenset()
        self._portable: list[portable.PortableWorker] = []
        self._open: list[Worker] = []

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's pid while there is one."""
        return self._process.pid if self._process else None

    def fileno(self) -> int:
        """The descriptor that becomes readable when a worker has ended, -1 without a zygote."""
        return self._client.control.fileno() if self._client else -1

    def warm(self, preload: Sequence[str]) -> ZygoteClient | None:
        """Starts the zygote, which imports these modules while the caller goes on; None where there is no fork."""
        if self._client is not None or not linux.IS_LINUX:
            return self._client
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._known = frozenset(linux.child_pids(os.getpid()))
        linux.adopt_orphans()  # so that nothing escapes should the zygote itself be killed
        with theirs:
            self._process = subprocess.Popen(
                [*interpreter("harness.process.zygote"), str(theirs.fileno()), *preload],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**os.environ, _MARK: str(os.getpid())},
            )
        self._client = ZygoteClient(ours, self._process.pid)
        return self._client

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
        request = Request(entry, list(preload), start, list(path), connected=start != "portable")
        client = None if start == "portable" else self.warm(preload)
        if client is None:
            self._portable.append(portable.start(request))
            worker = self._portable[-1].worker
        else:
            client.ask(request)
            try:
                worker = client.await_worker(wake, timeout_s)
            except (Cancelled, WorkerLost):
                self._end_zygote()  # the fork that was asked for must not come to life later
                raise
        self._open.append(worker)
        return worker

    def collect(self, *, block: bool = False) -> bool:
        """Reads one message of the zygote; False when the zygote is gone, and then nothing of it is left."""
        if self._client is None:
            return False
        if self._client.collect(block=block):
            return True
        self._bury()
        return False

    def _bury(self) -> None:
        """After the zygote's death: reaps it, and ends every process that it would have ended."""
        if self._process is None or self._client is None:
            return
        self._process.wait()
        session, mark = self._process.pid, f"{_MARK}={os.getpid()}".encode()
        self._client.bury(reap.kill_children_except(self._known, lambda pid: _belongs(pid, session, mark)))
        self._process = self._client = None

    def close(self) -> None:
        """Ends the zygote and everything below it, and waits until it is gone."""
        for each in self._portable:
            each.end()
        self._end_zygote()
        for worker in self._open:
            worker.close()
        self._open.clear()
        for each in self._portable:
            each.release()
        self._portable.clear()

    def _end_zygote(self) -> None:
        if self._client is None or self._process is None:
            return
        with contextlib.suppress(OSError):
            self._client.control.shutdown(socket.SHUT_WR)
        self._client.control.settimeout(_PATIENCE_S)
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


__all__ = ["Exit", "Launcher", "Start", "Worker"]
