"""The shared executor of calls under everything that happens to it: load, stuck calls, cancels, failures, restarts."""

import ctypes
import hashlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Annotated, Literal

from harness.errors import BenchmarkFailed, DeadlineExceeded
from harness.process import entry, linux
from harness.process.calls import CallRecord, Calls
from harness.process.client import ZygoteClient
from harness.process.inline import InlineCalls
from harness.process.pool import TaskPool, open_descriptors
from harness.ranges import Range
from harness.runner import Context

Executor = Literal["processes", "inline"]

GENEROUS_S = 60.0  # for calls that are to succeed
_LATE_MEBIBYTES = 16  # of work for a call in line that is to be late, whose deadline is the time of one
_BLOCK = b"\0" * (1 << 20)


def work(mebibytes: int) -> str:
    """Real work whose length follows its argument: a hash."""
    digest = hashlib.sha256()
    for _ in range(mebibytes):
        digest.update(_BLOCK)
    return digest.hexdigest()


def stuck_in_c() -> None:
    """A C call that hears no Python signal handler."""
    ctypes.CDLL(None).sleep(3600)


def gil_loop() -> None:
    """A loop that never gives the interpreter back by itself."""
    while True:
        pass


def fails(number: int) -> None:
    """Raises, so that the caller can see which call it was."""
    raise ValueError(f"call {number}")


class AsyncWorkerDrill:
    """One iteration runs every phase once; a phase in which something did not happen that must is an error."""

    def __init__(
        self,
        *,
        executor: Executor,
        concurrency: Annotated[int, Range(min=1, max=64)],
        calls: Annotated[int, Range(min=1)],
        stuck: Annotated[int, Range(min=1)],
        restarts: Annotated[int, Range(min=1)],
        storm: Annotated[int, Range(min=1)],
        shutdown_s: Annotated[float, Range(above=0)],
    ) -> None:
        self._inline = executor == "inline"
        self._concurrency, self._count, self._stuck = concurrency, calls, stuck
        self._restarts, self._storm, self._shutdown_s = restarts, storm, shutdown_s
        self._client: ZygoteClient | None = None

    def setup(self, context: Context) -> None:
        """Takes the worker's connection to the zygote, from which the processes of calls are forked.

        Raises:
            BenchmarkFailed: this worker has none (worker.start=portable, or a system without fork).
        """
        if self._inline:
            left_out = ["stuck calls", "cancels", "restarts"]
            context.event("async_worker.left_out", what=left_out, reason="in line nothing can be ended")
        elif entry.inherited.zygote is None:
            raise BenchmarkFailed(
                "calls need processes forked from the zygote", "use worker.start=fork, or scenario.executor=inline"
            )
        else:
            self._client = ZygoteClient(entry.inherited.zygote)
        self._context = context
        self._totals: Counter[str] = Counter()
        calls = self._open()
        self._probe_s = max(0.02, 20 * self._median_call_s(calls))
        self._close(calls)
        context.event("async_worker.deadline_calibrated", deadline_ms=round(self._probe_s * 1e3, 3))

    def _open(self) -> Calls | InlineCalls:
        calls: Calls | InlineCalls = InlineCalls(self._observe) if self._inline else Calls(self._pool(), self._observe)
        calls.call(work, 0, deadline_s=GENEROUS_S)
        return calls

    def _pool(self) -> TaskPool:
        assert self._client is not None
        return TaskPool(self._client, most=self._concurrency, spares=1, path=[path for path in sys.path if path])

    def _observe(self, record: CallRecord) -> None:
        self._totals[record.outcome] += 1
        if record.outcome == "completed":
            self._context.record("async_worker.call_latency_ms", record.latency_s * 1e3)
        elif record.censored:
            self._context.record("async_worker.censored_latency_ms", record.latency_s * 1e3)

    def _median_call_s(self, calls: Calls | InlineCalls) -> float:
        times = []
        for _ in range(21):
            started = time.perf_counter()
            calls.call(work, 1, deadline_s=GENEROUS_S)
            times.append(time.perf_counter() - started)
        return sorted(times)[10]

    def _close(self, calls: Calls | InlineCalls) -> float:
        started = time.perf_counter()
        calls.close(self._shutdown_s)
        return (time.perf_counter() - started) * 1e3

    def iterate(self, context: Context) -> dict[str, float]:
        """Load, timeout, cancel in flight, failure, jitter storm on one executor; then restart cycles."""
        before = _held()
        self._totals.clear()
        calls = self._open()
        self._load(calls)
        self._timeouts(calls)
        if isinstance(calls, Calls):
            self._cancels(calls)
        self._failures(calls)
        self._jitter(calls)
        context.record("async_worker.shutdown_ms", self._close(calls))
        for _ in range(0 if self._inline else self._restarts):
            context.record("async_worker.shutdown_ms", self._restart())
        counts = calls.counts
        ended = sum(counts[outcome] for outcome in ("completed", "failed", "timed_out", "cancelled"))
        leaked = _beyond(before)
        return {
            "async_worker.submitted_total": counts["submitted"],
            "async_worker.completed_total": counts["completed"],
            "async_worker.failed_total": counts["failed"],
            "async_worker.timed_out_total": counts["timed_out"],
            "async_worker.cancelled_total": counts["cancelled"],
            "async_worker.unaccounted_total": counts["submitted"] - ended,
            "async_worker.leaked": leaked,
        }

    def _load(self, calls: Calls | InlineCalls) -> None:
        handles = [calls.submit(work, 1, deadline_s=GENEROUS_S) for _ in range(self._count)]
        _require(len({handle.result() for handle in handles}) == 1, "equal work gave different results")

    def _timeouts(self, calls: Calls | InlineCalls) -> None:
        """Late calls in turn; after each, the next call must be served."""
        for number in range(self._stuck):
            function, arguments, deadline_s = self._late_call(number)
            started = time.perf_counter()
            try:
                calls.call(function, *arguments, deadline_s=deadline_s)
            except DeadlineExceeded:
                late = time.perf_counter()
                calls.call(work, 0, deadline_s=GENEROUS_S)
                self._context.record("async_worker.recover_ms", (time.perf_counter() - late) * 1e3)
                self._context.record("async_worker.deadline_overrun_ms", (late - started - deadline_s) * 1e3)
            else:
                raise BenchmarkFailed("a late call came back as if it were in time")

    def _late_call(self, number: int) -> tuple[Callable[..., object], tuple[int, ...], float]:
        """A call that misses its deadline: a stuck one, or in line, where that would be for good, too much work."""
        if self._inline:
            return work, (_LATE_MEBIBYTES,), self._probe_s / 20
        return (stuck_in_c, gil_loop)[number % 2], (), self._probe_s

    def _cancels(self, calls: Calls) -> None:
        handles = [calls.submit(stuck_in_c, deadline_s=GENEROUS_S) for _ in range(self._concurrency)]
        for handle in handles:
            handle.cancel()
        for handle in handles:
            try:
                handle.result()
            except CancelledError:
                continue
            raise BenchmarkFailed("a cancelled call came back")

    def _failures(self, calls: Calls | InlineCalls) -> None:
        for number in range(self._stuck):
            error = calls.submit(fails, number, deadline_s=GENEROUS_S).exception()
            _require(isinstance(error, ValueError) and str(error) == f"call {number}", f"another error came: {error!r}")

    def _jitter(self, calls: Calls | InlineCalls) -> None:
        """Calls of random length under deadlines of about that length: each must end, one way or the other."""
        chance = random.Random(self._context.seed + self._context.iteration)
        handles = [
            calls.submit(work, chance.randint(0, 4), deadline_s=self._probe_s * chance.uniform(0.05, 1.0))
            for _ in range(self._storm)
        ]
        ends = Counter(type(handle.exception()).__name__ for handle in handles)
        _require(set(ends) <= {"NoneType", "DeadlineExceeded"}, f"the storm ended in {dict(ends)}")
        calls.call(work, 0, deadline_s=GENEROUS_S)
        self._context.event("async_worker.storm", ends=dict(ends))

    def _restart(self) -> float:
        calls = self._open()
        calls.submit(gil_loop, deadline_s=GENEROUS_S)
        return self._close(calls)

    def teardown(self) -> None:
        """The connection to the zygote ends with this process."""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BenchmarkFailed(message)


def _beyond(before: dict[str, int]) -> int:
    """What is held more than before; looked at again for a while, since a joined thread ends in the kernel later."""
    for _ in range(10_000):
        leaked = sum(max(0, count - before[name]) for name, count in _held().items())
        if not leaked:
            break
        os.sched_yield()
    return leaked


def _held() -> dict[str, int]:
    """Threads, descriptors and children of this process."""
    children = len(linux.descendant_pids(os.getpid()))
    return {"threads": linux.thread_count(), "descriptors": open_descriptors(), "children": children}
