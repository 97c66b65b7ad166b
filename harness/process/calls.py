"""Calls with a deadline that holds: a call that is late is really ended, and what it held comes back.

A thread cannot be stopped and a coroutine only where it awaits, so each call runs in a process of its own, which is
killed at the deadline; a warm spare serves the next call at once. The deadline counts from the submission, waiting for
a process included. What was late is recorded with the time that had passed, as a censored latency, never as 0.
"""

import asyncio
import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from harness.errors import DeadlineExceeded
from harness.process.pool import TaskPool
from harness.process.task import Task, TaskLost

Outcome = Literal["completed", "failed", "timed_out", "cancelled"]


@dataclass(frozen=True)
class CallRecord:
    """What became of one call; `censored` says that it would have taken longer than `latency_s`."""

    name: str
    outcome: Outcome
    latency_s: float
    deadline_s: float
    censored: bool
    pid: int | None = None  # of the process that was killed, as evidence


Observer = Callable[[CallRecord], None]


class Canceller(Protocol):
    """Whoever can end a call that was submitted to it."""

    def cancel(self, handle: "Handle") -> None:
        """Ends the call, if it has not ended."""


class Handle:
    """A call on its way: its result, and the means to end it."""

    def __init__(self, calls: Canceller, name: str, deadline_s: float) -> None:
        self.name = name
        self.deadline_s = deadline_s
        self.submitted_ns = time.monotonic_ns()
        self._calls = calls
        self._future: Future[Any] = Future()

    @property
    def until_ns(self) -> int:
        """The deadline as a time of the monotonic clock."""
        return self.submitted_ns + int(self.deadline_s * 1e9)

    def result(self) -> Any:
        """Waits for the result; it comes, or an error does, soon after the deadline at the latest.

        Raises:
            DeadlineExceeded: the call was late and was ended.
            CancelledError: it was cancelled.
            TaskLost: its process ended by itself.
            Exception: whatever the called function raised.
        """
        return self._future.result()

    def exception(self) -> BaseException | None:
        """The same, with the error as a value."""
        return self._future.exception()

    def done(self) -> bool:
        """Whether it has come to any end."""
        return self._future.done()

    def cancelled(self) -> bool:
        """Whether it ended by a cancel."""
        return self._future.cancelled()

    def add_done_callback(self, callback: Callable[["Handle"], None]) -> None:
        """Calls back when it has ended, from the thread that supervises calls."""
        self._future.add_done_callback(lambda _: callback(self))

    def cancel(self) -> None:
        """Ends the call, also when it is running; no effect on one that has ended."""
        self._calls.cancel(self)

    def settle(self, answer: tuple[bool, Any]) -> None:
        """Ends the handle with a value or an error; the first end stands."""
        if self._future.done():
            return
        good, value = answer
        if good:
            self._future.set_result(value)
        elif isinstance(value, CancelledError):
            self._future.cancel()
            self._future.set_running_or_notify_cancel()
        else:
            self._future.set_exception(value)


class Calls:
    """Runs functions in processes of the pool, each within its deadline.

    `call` is for the caller who waits anyway and is the fastest way; `submit` returns at once. Both may be used from
    any thread. A function and its arguments must be importable and picklable.
    """

    def __init__(self, pool: TaskPool, observe: Observer | None = None) -> None:
        self._pool = pool
        self._observe = observe
        self.counts: Counter[str] = Counter()
        self._running: dict[Handle, Task | asyncio.Task[Any]] = {}
        self._waiting: deque[tuple[Handle, Callable[..., Any], tuple[Any, ...]]] = deque()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._supervise, name="calls", daemon=True)
        self._thread.start()

    def _supervise(self) -> None:
        self._loop.add_reader(self._pool.fileno(), self._collect)
        self._loop.run_forever()

    def _collect(self) -> None:
        if not self._pool.collect():
            self._loop.remove_reader(self._pool.fileno())
        self._pump()

    def call(self, function: Callable[..., Any], *arguments: Any, deadline_s: float, name: str = "") -> Any:
        """The function's result, waited for here.

        Raises:
            DeadlineExceeded: it was late; its process has been killed.
            TaskLost: its process ended by itself.
            WorkerLost: no process can be had.
            Exception: whatever the function raised.
        """
        started_ns = time.monotonic_ns()
        until_ns = started_ns + int(deadline_s * 1e9)
        self.counts["submitted"] += 1
        task = self._pool.acquire(until_ns)
        answer = self._exchange(task, function, arguments, until_ns) if task is not None else None
        pid = None
        if answer is None:
            answer = (False, DeadlineExceeded(name or function.__name__, deadline_s))
            if task is not None:
                pid = task.worker.pid
                self._pool.replace(task)
        self._note(name or function.__name__, answer, started_ns, deadline_s, pid)
        good, value = answer
        if good:
            return value
        raise value

    def _exchange(
        self, task: Task, function: Callable[..., Any], arguments: tuple[Any, ...], until_ns: int
    ) -> tuple[bool, Any] | None:
        """One call on one process, which is given back unless the call was late."""
        try:
            task.send(function, arguments)
            self._pool.top_up()
            answer = task.receive(until_ns)
        except TaskLost as error:
            self._pool.replace(task)
            return (False, error)
        except BaseException:
            self._pool.replace(task)  # half a message may be on its way
            raise
        if answer is not None:
            self._pool.release(task)
        return answer

    def submit(self, function: Callable[..., Any], *arguments: Any, deadline_s: float, name: str = "") -> Handle:
        """Starts the function in a process, or as soon as one is free."""
        handle = Handle(self, name or function.__name__, deadline_s)
        self.counts["submitted"] += 1
        self._loop.call_soon_threadsafe(self._accept, handle, function, arguments)
        return handle

    def submit_cooperative(
        self, function: Callable[..., Awaitable[Any]], *arguments: Any, deadline_s: float, name: str = ""
    ) -> Handle:
        """Runs a coroutine function in the supervising thread: for I/O, which can be ended where it awaits."""
        handle = Handle(self, name or function.__name__, deadline_s)
        self.counts["submitted"] += 1
        self._loop.call_soon_threadsafe(self._start_coroutine, handle, function, arguments)
        return handle

    def cancel(self, handle: Handle) -> None:
        """Ends a submitted call."""
        self._loop.call_soon_threadsafe(self._end, handle, CancelledError())

    def _accept(self, handle: Handle, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        left_s = (handle.until_ns - time.monotonic_ns()) / 1e9
        self._loop.call_later(left_s, self._end, handle, DeadlineExceeded(handle.name, handle.deadline_s))
        self._waiting.append((handle, function, arguments))
        self._pump()

    def _pump(self) -> None:
        """Starts waiting calls for as long as there are idle processes."""
        while self._waiting:
            if self._waiting[0][0].done():
                self._waiting.popleft()
                continue
            try:
                task = self._pool.acquire()
            except Exception as error:
                self._finish(self._waiting.popleft()[0], (False, error))
                continue
            if task is None:
                return
            self._dispatch(task, *self._waiting.popleft())

    def _dispatch(self, task: Task, handle: Handle, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            task.send(function, arguments)
        except Exception as error:
            self._pool.replace(task)
            self._finish(handle, (False, error))
            return
        self._pool.top_up()
        self._running[handle] = task
        self._loop.add_reader(task.fd, self._ready, handle, task)

    def _ready(self, handle: Handle, task: Task) -> None:
        try:
            task.feed()
            answer = task.take()
        except TaskLost as error:
            self._loop.remove_reader(task.fd)
            self._pool.replace(task)
            answer = (False, error)
        else:
            if answer is None:
                return
            self._loop.remove_reader(task.fd)
            self._pool.release(task)
        del self._running[handle]
        self._finish(handle, answer)
        self._pump()

    def _start_coroutine(self, handle: Handle, function: Callable[..., Awaitable[Any]], arguments: Any) -> None:
        async def run() -> None:
            try:
                async with asyncio.timeout(max(0.0, (handle.until_ns - time.monotonic_ns()) / 1e9)) as limit:
                    answer = (True, await function(*arguments))
            except asyncio.CancelledError:
                answer = (False, CancelledError())
            except BaseException as error:
                late = limit.expired() and isinstance(error, TimeoutError)
                answer = (False, DeadlineExceeded(handle.name, handle.deadline_s) if late else error)
            self._running.pop(handle, None)
            self._finish(handle, answer)

        task = self._running[handle] = self._loop.create_task(run())
        # A task that is cancelled before its first step never gets to its own except clauses.
        task.add_done_callback(lambda _: self._finish(handle, (False, CancelledError())))

    def _end(self, handle: Handle, error: Exception) -> None:
        """Ends a call that is waiting or running: its process is killed, its coroutine cancelled."""
        if handle.done():
            return
        running = self._running.pop(handle, None)
        pid = None
        if isinstance(running, Task):
            self._loop.remove_reader(running.fd)
            pid = running.worker.pid
            self._pool.replace(running)
        elif running is not None:
            running.cancel()
            return  # the coroutine's own end settles the handle
        self._finish(handle, (False, error), pid)
        self._pump()

    def _finish(self, handle: Handle, answer: tuple[bool, Any], pid: int | None = None) -> None:
        if handle.done():
            return
        self._note(handle.name, answer, handle.submitted_ns, handle.deadline_s, pid)
        handle.settle(answer)

    def _note(self, name: str, answer: tuple[bool, Any], started_ns: int, deadline_s: float, pid: int | None) -> None:
        good, value = answer
        outcome: Outcome = "completed" if good else _outcome_of(value)
        self.counts[outcome] += 1
        if self._observe is not None:
            latency_s = (time.monotonic_ns() - started_ns) / 1e9
            censored = outcome in ("timed_out", "cancelled")
            self._observe(CallRecord(name, outcome, latency_s, deadline_s, censored, pid))

    def close(self, timeout_s: float = 5.0) -> None:
        """Ends all calls and processes, within the time given."""
        if not self._thread.is_alive():
            return

        def end_all() -> None:
            for handle in [*self._running, *(handle for handle, _, _ in self._waiting)]:
                self._end(handle, CancelledError())
            self._loop.call_later(0, self._loop.stop)

        until = time.monotonic() + timeout_s
        self._loop.call_soon_threadsafe(end_all)
        self._thread.join(timeout_s)
        with contextlib.suppress(RuntimeError):
            self._loop.close()
        self._pool.close(max(0.0, until - time.monotonic()))

    def __enter__(self) -> "Calls":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _outcome_of(error: BaseException) -> Outcome:
    if isinstance(error, DeadlineExceeded):
        return "timed_out"
    return "cancelled" if isinstance(error, CancelledError) else "failed"
