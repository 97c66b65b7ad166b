"""Starts a command, waits for its exact end, and ends everything it started: the one way to run a user's program."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.process import linux, reap

GRACE_S = 0.2  # between SIGTERM and SIGKILL; a cancel must be over within a second
_MOST_ROUNDS = 1000  # of killing what forks while it is being killed; each round ends a whole generation
_COUNTER_SLACK = 0.01  # the kernel adds up a process's memory from counters that lag by some pages for each CPU
_NULL = subprocess.DEVNULL
_running: set[int] = set()  # commands of this process that were not collected yet: no orphans of another one


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it used; a field is None where this platform does not tell."""

    code: int  # the exit code, or minus the number of the signal that killed it
    wall_ns: int
    user_s: float | None
    system_s: float | None
    largest_mb: float | None  # the most that one process had resident; None where it is hidden, see `Child.wait`
    leftovers: int  # processes that were still alive when the command had ended, and were killed


class Child:
    """A started command, in a session of its own; whatever it starts ends with it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: str | None = None,
        environment: Mapping[str, str] | None = None,
        stdout: int = _NULL,
        stderr: int = _NULL,
    ) -> None:
        """Starts the command with nothing on its standard input; the clock starts just before.

        Raises:
            OSError: the program or the folder is not there, or may not be used.
        """
        _unignore_signals()
        self._adopts = _can_adopt()
        self._before = frozenset(linux.child_pids(os.getpid())) if self._adopts else frozenset[int]()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._reaped = False
        self.started_ns = time.perf_counter_ns()
        self._process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=environment,
            stdin=_NULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        self.pid = self._process.pid
        _running.add(self.pid)
        self._own_peak = _largest_of_this_process()  # read now: the command took it over when it left this memory

    def wait(self) -> Finished:
        """Blocks until the command has ended, then kills and reaps what it left behind.

        The end is taken while the command still is a zombie: its pid, and the session of that number, cannot become
        another's until all that belongs to it has been found. `largest_mb` is None where the command's largest process
        was smaller than this one has been: the kernel counts the memory in which a process lives before it calls exec.

        An exception, such as a cancel raised by a signal handler, ends the command before it passes on.
        """
        try:
            usage, code = self._block()
        except BaseException:
            self.stop()
            self._block()
            self._collect()
            raise
        ended_ns = time.perf_counter_ns()
        return self._collect(ended_ns, usage, code)

    def _block(self) -> tuple[Any, int | None]:
        """Returns at the end of the process; with waitid it stays a zombie, elsewhere it is reaped at once."""
        if self._reaped:
            return None, self._process.returncode
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self._ended.set()
            return None, None
        usage = None
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(self.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
        else:
            self._process.wait()
        with self._lock:
            self._reaped = True
        self._ended.set()
        return usage, self._process.returncode

    def _collect(self, ended_ns: int = 0, usage: Any = None, code: int | None = None) -> Finished:
        """Kills what is left, reaps everything, and adds up what it used."""
        left = self._survivors()
        alive = {pid for pid in left if _is_alive(pid)}
        if not self._reaped:
            with self._lock:
                self._reaped = True
            _, status, usage = os.wait4(self.pid, 0)
            code = self._process.returncode = os.waitstatus_to_exitcode(status)
        usages = [] if usage is None else [usage]
        usages += self._end_all(left)
        _running.discard(self.pid)
        assert code is not None
        largest = max((_peak_mb(each) for each in usages), default=0.0)
        return Finished(
            code,
            ended_ns - self.started_ns,
            sum(each.ru_utime for each in usages) if usages else None,
            sum(each.ru_stime for each in usages) if usages else None,
            largest if largest > self._own_peak * (1 + _COUNTER_SLACK) else None,
            len(alive),
        )

    def _survivors(self) -> list[int]:
        """What the command started and did not outlast: the orphans that came to this process, and all below them."""
        if self._adopts:
            known, others = self._before | _running, _running - {self.pid}
            new = [pid for pid in linux.child_pids(os.getpid()) if pid not in known]
            orphans = [pid for pid in new if _session_of(pid) not in others]
            return orphans + [below for orphan in orphans for below in linux.descendant_pids(orphan)]
        return [pid for pid in _session_members(self.pid) if pid != self.pid and _is_alive(pid)]

    def _end_all(self, left: Iterable[int]) -> list[Any]:
        """Kills until nothing is left, also what forks meanwhile; gives the usage of those that were ours to reap."""
        usages = []
        for _ in range(_MOST_ROUNDS):
            pending = list(left)
            if not pending:
                break
            for pid in pending:
                reap.kill(pid)
            for pid in pending if hasattr(os, "wait4") else ():
                with contextlib.suppress(ChildProcessError):  # a grandchild, which comes to us with its parent's end
                    usages.append(os.wait4(pid, 0)[2])
            left = self._survivors()
        return usages

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Ends the command and all below it: SIGTERM, then SIGKILL after `grace_s`; may be called from any thread."""
        below = self._signal_all(signal.SIGTERM, ())
        if below is not None and not self._ends_within(grace_s):
            self._signal_all(getattr(signal, "SIGKILL", signal.SIGTERM), below)

    def _signal_all(self, number: int, also: Iterable[int]) -> tuple[int, ...] | None:
        """Signals the group and everything below it, None when the command was reaped and its pid may be another's."""
        with self._lock:
            if self._reaped:
                return None
            below = (*also, *linux.descendant_pids(self.pid))
            if hasattr(os, "killpg"):
                reap.kill_group(self.pid, number)
            else:
                self._process.terminate()
            for pid in below:
                reap.kill(pid, number)
            return below

    def _ends_within(self, seconds: float) -> bool:
        if self._ended.is_set():
            return True
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                descriptor = os.pidfd_open(self.pid)
                try:
                    return bool(select.select([descriptor], [], [], seconds)[0])
                finally:
                    os.close(descriptor)
        return self._ended.wait(seconds)


def _can_adopt() -> bool:
    """Whether orphans of the command come to this process, where none can hide; else its session is searched."""
    return linux.IS_LINUX and os.environ.get("HARNESS_FORCE_PSUTIL", "") in ("", "0") and linux.adopt_orphans()


def _unignore_signals() -> None:
    """Gives signals ignored here a handler that does nothing: an ignored one would stay ignored in the command."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignore)


def _ignore(number: int, frame: object) -> None:
    return None


def _session_of(pid: int) -> int | None:
    """The session of a process, None where it is gone."""
    with contextlib.suppress(OSError):
        return os.getsid(pid)
    return None


def _session_members(session: int) -> list[int]:
    """The processes of a session, by asking each process of the host."""
    import psutil

    if not hasattr(os, "getsid"):
        with contextlib.suppress(psutil.Error):
            return [process.pid for process in psutil.Process(session).children(recursive=True)]
        return []
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == session:
                found.append(pid)
    return found


def _is_alive(pid: int) -> bool:
    """Whether a process runs; an orphan that ended before the command did is a zombie until it is reaped."""
    if linux.IS_LINUX:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                content = file.read()
            return content[content.rindex(b")") + 2 : content.rindex(b")") + 3] not in (b"Z", b"X")
        except (OSError, ValueError):
            return False
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _peak_mb(usage: Any) -> float:
    return float(usage.ru_maxrss) / (2**20 if sys.platform == "darwin" else 1024)


def _largest_of_this_process() -> float:
    """The most that this process has had resident: what a child's own figure starts from, through vfork or fork."""
    try:
        import resource
    except ImportError:
        return 0.0
    return _peak_mb(resource.getrusage(resource.RUSAGE_SELF))


def output_of(command: Sequence[str], *, folder: str | None = None, timeout_s: float = 2.0) -> str | None:
    """What a short command prints, None when it is missing, fails, or takes longer than `timeout_s`."""
    try:
        finished = subprocess.run(
            list(command), cwd=folder, stdin=_NULL, stdout=subprocess.PIPE, stderr=_NULL, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return finished.stdout.decode("utf-8", "replace") if finished.returncode == 0 else None
