"""A load on a model in this process: a thread for each user, or one for each request whose time has come.

The threads spend their time inside the engine, which holds no interpreter lock while it computes. What a chunk says is
read after the load; at its arrival only the clock is.
"""

import gc
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from harness.llm.engines.call import Call, Noted
from harness.llm.exchange import Exchange, Failure
from harness.llm.request import Request
from harness.llm.schedule import Closed, Open, Patience, Schedule

_ATTEND_S = 0.05  # between two looks at what is overdue or cancelled
_LET_GO_S = 0.2  # that the engine has to stop after a cancel, which must be over within a second
_SPIN_NS = 100_000  # a sleeping thread wakes up about this much too late
_LEAD_NS = 10_000_000  # the load begins this much later, when its threads stand
_STUCK = "the engine did not let go of an earlier request"


class Core(Protocol):
    """A model in this process, as a load sees it."""

    def prepare(self, request: Request) -> Any:
        """What of the request can be made ready before the load, as a client over HTTP makes its body ready."""

    def answer(self, call: Call, prepared: Any) -> Failure | None:
        """Blocks until the answer is there, noting each chunk; ends early when that answers True."""

    def read(self, exchange: Exchange, noted: Sequence[Noted]) -> None:
        """Puts into the exchange what the chunks say: pieces, usage, timings, or the failure."""


class InProcessLoad:
    """One load; `run` gives its exchanges, and `stuck` the calls that the engine still has not let go of then."""

    def __init__(
        self,
        core: Core,
        requests: Sequence[Request],
        schedule: Schedule,
        patience: Patience,
        cancelled: Callable[[], bool],
    ) -> None:
        self._core = core
        self._requests = requests
        self._schedule = schedule
        self._patience = patience
        self._cancelled = cancelled
        self._calls: list[Call] = []
        self._indexes = itertools.count()
        self._over = threading.Event()  # no further request is sent
        self._changed = threading.Event()  # a thread has ended
        self._prepared: list[Any] = []
        self._origin_ns = 0
        self._due: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._idle = 0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.stuck: list[Call] = []

    def run(self) -> list[Exchange]:
        """Sends everything, waits for it, and reads it."""
        if isinstance(self._schedule, Open) and len(self._schedule.offsets_ns) != len(self._requests):
            times, count = len(self._schedule.offsets_ns), len(self._requests)
            raise ValueError(f"Parameter `schedule` should have a time for each of {count} requests. Found {times}.")
        self._prepared = [self._core.prepare(request) for request in self._requests]
        with _without_collection():
            self._origin_ns = time.monotonic_ns() + _LEAD_NS
            if isinstance(self._schedule, Closed):
                for user in range(min(self._schedule.users, len(self._requests))):
                    self._start(self._be_user, self._schedule, user)
            else:
                self._start(self._dispatch, self._schedule)
            self._attend()
        return self._read()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=self._until_done, args=(work, *arguments), name=work.__name__, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _until_done(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        finally:
            self._changed.set()

    def _be_user(self, schedule: Closed, user: int) -> None:
        intended_ns = self._origin_ns + schedule.starts_ns[user]
        while self._wait_until(intended_ns) and (index := next(self._indexes)) < len(self._requests):
            intended_ns = self._ask(index, intended_ns) + schedule.think_ns

    def _dispatch(self, schedule: Open) -> None:
        """Hands each request over at its time, to a thread that waits for one."""
        for index, offset_ns in enumerate(schedule.offsets_ns):
            due_ns = self._origin_ns + offset_ns
            with self._lock:
                short = self._idle <= self._due.qsize()
            if short:
                self._start(self._serve)
            if not self._wait_until(due_ns):
                break
            self._due.put((index, due_ns))
        for _ in range(len(self._threads)):
            self._due.put(None)

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            due = self._due.get()
            with self._lock:
                self._idle -= 1
            if due is None or self._over.is_set():
                return
            self._ask(*due)

    def _wait_until(self, due_ns: int) -> bool:
        """Sleeps until shortly before, then turns, giving the interpreter up each time; False when all is over."""
        while (left_ns := due_ns - time.monotonic_ns() - _SPIN_NS) > 0:
            if self._over.wait(left_ns / 1e9):
                return False
        while time.monotonic_ns() < due_ns:
            time.sleep(0)  # gives the interpreter up, so that callbacks are not held back
        return not self._over.is_set()

    def _ask(self, index: int, intended_ns: int) -> int:
        """Sends one request; gives when it ended."""
        call = Call(Exchange(index, self._requests[index], intended_ns), self._patience)
        with self._lock:
            self._calls.append(call)
        if self._over.is_set():
            return intended_ns
        failure: Failure | None = None
        call.begin()
        try:
            failure = self._core.answer(call, self._prepared[index])
        except Exception as error:  # whatever the library raises is the outcome of this request
            failure = Failure("server_error", f"{type(error).__name__}: {error}")
        call.finish(failure)
        return call.exchange.ended_ns

    def _attend(self) -> None:
        """Waits for the threads; ends what takes too long, and everything on a cancel."""
        while any(thread.is_alive() for thread in list(self._threads)):
            self._changed.wait(_ATTEND_S)
            self._changed.clear()
            now_ns = time.monotonic_ns()
            cancelled = self._cancelled()
            for call in list(self._calls):
                self._hold_to_time(call, now_ns, cancelled)
            if cancelled:
                self._over.set()
                self._await_letting_go(_LET_GO_S)
                return
            if any(self._is_stuck(call, now_ns) for call in self._calls):
                self._over.set()
                self._await_letting_go(0)
                return

    def _hold_to_time(self, call: Call, now_ns: int, cancelled: bool) -> None:
        if not call.under_way:
            return
        if cancelled:
            call.abandon("cancelled", "the run was cancelled")
        elif late := call.overdue(now_ns):
            call.abandon("timeout", late)

    def _is_stuck(self, call: Call, now_ns: int) -> bool:
        """Whether the engine goes on with what was ended for as long again as it was allowed to take."""
        failure = call.exchange.failure
        late = failure is not None and failure.reason == "timeout" and not call.returned.is_set()
        return late and now_ns - call.exchange.ended_ns > self._patience.total_s * 1e9

    def _await_letting_go(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for call in list(self._calls):
            if not call.returned.wait(max(0.0, until - time.monotonic())):
                self.stuck.append(call)

    def _read(self) -> list[Exchange]:
        for call in self._calls:
            if call.under_way:
                call.abandon("cancelled" if self._cancelled() else "timeout", _STUCK)
            self._core.read(call.exchange, call.noted)
        found = [call.exchange for call in self._calls if call.exchange.sent_ns]
        if self.stuck and not self._cancelled():
            found += self._never_sent({exchange.index for exchange in found})
        return sorted(found, key=lambda exchange: exchange.index)

    def _never_sent(self, sent: set[int]) -> list[Exchange]:
        now_ns = time.monotonic_ns()
        failure = Failure("timeout", f"not sent: {_STUCK}")
        left = [index for index in range(len(self._requests)) if index not in sent]
        offsets = self._schedule.offsets_ns if isinstance(self._schedule, Open) else None
        due = {index: self._origin_ns + offsets[index] if offsets else now_ns for index in left}
        return [Exchange(index, self._requests[index], due[index], ended_ns=now_ns, failure=failure) for index in left]


@contextmanager
def _without_collection() -> Iterator[None]:
    """Garbage is not collected meanwhile: a collection stops every thread for milliseconds."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
