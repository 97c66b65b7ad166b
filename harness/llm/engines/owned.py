"""The process of a server that this run started: its address once loaded, its end and why, its memory limit."""

import json
import os
import re
import select
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from harness.errors import Cancelled
from harness.llm.engine import EngineFailed
from harness.llm.engines.llama_child import READY
from harness.llm.engines.llama_settings import LlamaSettings
from harness.llm.exchange import Failure, Reason
from harness.llm.server_usage import TreeUsage
from harness.process import memory
from harness.process.children import Child, Finished
from harness.process.entry import interpreter
from harness.runner import Context

_ATTEND_S = 0.1  # how often a cancel is looked for while the model loads
_LOG_TAIL = 4000  # bytes of the log that are read for the reason of an end
_SHOWN = 1000
_NO_MEMORY = re.compile(
    r"insufficient memory|failed to allocate|bad_alloc|out of memory|Cannot allocate", re.IGNORECASE
)
_NO_LIBRARY = re.compile(r"(libgomp\S*): cannot open shared object")


class OwnedProcess:
    """One start of the server; a second start is another object."""

    def __init__(
        self,
        settings: LlamaSettings,
        environment: Mapping[str, str],
        log: Path,
        memory_limit_mb: float | None,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._log = log
        self._limit_mb = memory_limit_mb
        self._child: Child | None = None
        self._finished: Finished | None = None
        self._end = threading.Event()
        self._waiter: threading.Thread | None = None
        self._watch: TreeUsage | None = None
        self._exceeded_mb: float | None = None
        self._oom_kills = 0
        self._log_start = 0
        self.load_ms = 0.0

    @property
    def pid(self) -> int:
        """The process, once started."""
        assert self._child is not None
        return self._child.pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended, by itself or killed."""
        return self._end.is_set()

    def await_end(self, timeout_s: float) -> bool:
        """Whether it ends within this time."""
        return self._end.wait(timeout_s)

    def start(self, context: Context, ready_s: float) -> str:
        """Starts the process and gives its address once the model is loaded.

        Raises:
            EngineFailed: it ended instead, or took longer than `ready_s`; with the end of its log.
            Cancelled: the run is over.
        """
        self._oom_kills = memory.oom_kills()
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        request = {"parent": os.getpid(), "port": 0, "settings": vars(self._settings)}
        command = [*interpreter("harness.llm.engines.llama_child"), json.dumps(request)]
        try:
            with self._log.open("ab") as log:
                self._log_start = log.tell()
                self._child = Child(command, environment=self._environment, stdout=writer, stderr=log.fileno())
        finally:
            os.close(writer)
        self._waiter = threading.Thread(target=self._wait, args=(self._child,), name="server-waiter", daemon=True)
        self._waiter.start()
        self._limit()
        try:
            return self._await_ready(reader, context, ready_s)
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(reader)

    def _wait(self, child: Child) -> None:
        try:
            self._finished = child.wait()
        except ChildProcessError:  # somebody else has taken its exit code; that it has ended is known all the same
            self._finished = None
        finally:
            self._end.set()

    def _limit(self) -> None:
        """Watches the memory, and ends the process when it holds more than the limit."""
        if self._limit_mb is None:
            return
        assert self._child is not None
        self._watch = TreeUsage(self._child.pid, limit_mb=self._limit_mb, over_limit=self._exceed)
        self._watch.begin()

    def _exceed(self, megabytes: float) -> None:
        self._exceeded_mb = megabytes
        assert self._child is not None
        self._child.stop(grace_s=0)

    def _await_ready(self, reader: int, context: Context, ready_s: float) -> str:
        assert self._child is not None
        until_ns = self._child.started_ns + int(ready_s * 1e9)
        said = b""
        while not said.endswith(b"\n"):
            if context.cancelled:
                raise Cancelled
            if time.perf_counter_ns() > until_ns:
                raise EngineFailed(
                    f"the server was still loading after {ready_s:g} s{self._tail()}",
                    "give it longer: llm.ready_s",
                    "loading",
                )
            if not select.select([reader], [], [], _ATTEND_S)[0]:
                continue
            part = os.read(reader, 4096)
            if not part:
                raise self._not_started()
            said += part
        self.load_ms = (time.perf_counter_ns() - self._child.started_ns) / 1e6
        return said.decode().strip().removeprefix(READY)

    def _not_started(self) -> EngineFailed:
        self._end.wait(1.0)
        why = self.why_ended()
        library = _NO_LIBRARY.search(self._log_text())
        hint = f"the whole log is in {self._log}"
        if library is not None:
            hint = f"install the system's {library[1]} (Debian: libgomp1)"
        elif why.reason == "out_of_memory":
            hint = "less is taken by a smaller llm.context_tokens, fewer llm.slots, or a smaller model"
        return EngineFailed(f"the server did not start: {why.message}", hint, why.reason)

    def why_ended(self) -> Failure:
        """The reason of its end as a request under way sees it."""
        if self._exceeded_mb is not None:
            message = f"the server held {self._exceeded_mb:.0f} MiB, the limit being {self._limit_mb:g}, and was ended"
            return Failure("out_of_memory", message)
        how = _how(self._finished)
        if (
            self._finished is not None
            and self._finished.code == -signal.SIGKILL
            and memory.oom_kills() > self._oom_kills
        ):
            return Failure("out_of_memory", f"the server {how}, and the kernel killed for want of memory meanwhile")
        killed = self._finished is not None and self._finished.code in (-signal.SIGKILL, -signal.SIGTERM)
        if killed:  # from outside: its log has nothing about it
            return Failure("lost", f"the server, which this run started, {how}")
        reason: Reason = "out_of_memory" if _NO_MEMORY.search(self._log_text()) else "lost"
        return Failure(reason, f"the server, which this run started, {how}{self._tail()}")

    def _log_text(self) -> str:
        try:
            with self._log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, end - _LOG_TAIL))
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def _tail(self) -> str:
        text = self._log_text().strip()
        return f"; its log ends: {text[-_SHOWN:]}" if text else ""

    def stop(self) -> None:
        """Ends the process and waits for that; a second call does nothing."""
        if self._watch is not None:
            self._watch.finish()
            self._watch = None
        if self._child is not None and not self.ended:
            self._child.stop()
        if self._waiter is not None:
            self._waiter.join()


def _how(finished: Finished | None) -> str:
    if finished is None:
        return "has ended, and its exit code was taken by somebody else"
    if finished.code < 0:
        return f"was killed by {signal.Signals(-finished.code).name}"
    return f"ended with exit code {finished.code}"
