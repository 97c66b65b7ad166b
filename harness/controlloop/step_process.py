"""Keeps one step process at work and a warm spare beside it, which takes over the state of one that was killed."""

import contextlib
import select
import time
from collections.abc import Callable
from typing import Any

from harness.controlloop import step_child
from harness.controlloop.faults import StepFailed
from harness.controlloop.shared import SharedArenas
from harness.controlloop.snapshot import RestoreFailed
from harness.controlloop.step_child import Blueprint
from harness.errors import BenchmarkFailed, WorkerLost
from harness.process import entry
from harness.process.client import Request, ZygoteClient
from harness.process.task import ENTRY, Task, TaskLost

READY_S = 120.0  # for a process to start, import and build; a limit against hangs, no expectation
PATIENCE_NS = int(READY_S * 1e9)
_TAKEOVERS = 3  # a state that ends every process that touches it is none to go on from


class StepProcesses:
    """The process that makes the steps, and those that wait to replace it."""

    def __init__(self, blueprint: Blueprint, arenas: SharedArenas, layout_bytes: int, *, spares: int) -> None:
        """Orders the first process and its spares; they are forked and build while the caller goes on.

        Raises:
            BenchmarkFailed: this worker has no zygote to fork from.
        """
        if entry.inherited.zygote is None:
            raise BenchmarkFailed(
                "a step process must be forked from the zygote",
                "use worker.start=fork, or scenario.step_process=false with a fault that returns",
            )
        self._client = ZygoteClient(entry.inherited.zygote)
        self._blueprint, self._arenas, self._bytes = blueprint, arenas, layout_bytes
        self._spares = spares
        self._preparing: list[Task] = []
        self._ready: list[Task] = []
        self._current: Task | None = None
        self._asked = 0
        self._generation = 0
        self._lost_spares = 0
        self._order()

    def _order(self) -> None:
        """Asks for as many processes as are missing."""
        have = len(self._ready) + len(self._preparing) + self._asked + (self._current is not None)
        for _ in range(1 + self._spares - have):
            self._client.ask(Request(ENTRY, ["harness.controlloop.step_child"]), [self._arenas.descriptor])
            self._asked += 1

    def tend(self) -> None:
        """Moves things on without waiting: takes forked processes, tells them to build, notes those that are built.

        Called between steps, never inside a timed one.
        """
        self._order()
        self._client.collect()
        while (worker := self._client.take()) is not None:
            self._asked -= 1
            self._generation += 1
            task = Task(worker, self._generation)
            task.send(step_child.prepare, (self._blueprint, self._arenas.count, self._bytes))
            self._preparing.append(task)
        for task in list(self._preparing):
            try:
                task.feed()
            except TaskLost:  # a spare that ended while it was built is replaced; `_next` refuses to try for ever
                self._preparing.remove(task)
                task.kill()
                self._lost_spares += 1
                continue
            if (answer := task.take()) is not None:
                self._note_prepared(task, answer)

    def _note_prepared(self, task: Task, answer: tuple[bool, Any]) -> None:
        self._preparing.remove(task)
        good, value = answer
        if not good:
            task.kill()
            raise value
        self._ready.append(task)

    def _next(self) -> Task:
        """A process that is built; waits for one where none is."""
        until, lost_before = time.monotonic() + READY_S, self._lost_spares
        self.tend()
        while not self._ready:
            watched = [self._client.control.fileno(), *(task.fd for task in self._preparing)]
            ready, _, _ = select.select(watched, [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise RestoreFailed(f"no step process within {READY_S:g} s")
            if self._client.control.fileno() in ready and not self._client.collect():
                raise WorkerLost("the zygote is gone; there are no step processes any more")
            self.tend()
            if self._lost_spares - lost_before > self._spares:
                raise RestoreFailed(f"{self._lost_spares - lost_before} step processes ended while they were built")
        return self._ready.pop(0)

    @property
    def pid(self) -> int:
        """The process that makes the steps now, 0 between two."""
        return 0 if self._current is None else self._current.worker.pid

    def activate(self, slot: int, parts: dict[str, Any] | None) -> dict[str, Any]:
        """Lets the present process, or the spare where there is none, go on from the state in `slot`.

        Where that process ends instead, the next one takes over: nothing is written to the state meanwhile.

        Raises:
            RestoreFailed: all that were tried ended.
        """
        for _ in range(_TAKEOVERS):
            if self._current is None:
                self._current = self._next()
            try:
                answer: dict[str, Any] = self._ask(step_child.activate, slot, parts)
            except TaskLost as error:
                self.discard()
                lost = error
            else:
                return answer
        raise RestoreFailed(f"{_TAKEOVERS} step processes ended while they took over the state: {lost}") from lost

    def step(self, index: int, kind: Any, deadline_ns: int) -> Any:
        """One step, within its deadline where it has one (0: none).

        Raises:
            StepFailed: it was late and its process was killed, or the process ended.
            Exception: whatever the step raised.
        """
        task = self._current
        if task is None:
            raise RestoreFailed("there is no step process with a state to train on")
        started_ns, monotonic_ns = time.perf_counter_ns(), time.monotonic_ns()
        try:
            task.send(step_child.make_step, (index, kind, deadline_ns))
            answer = task.receive(monotonic_ns + (deadline_ns or PATIENCE_NS))
        except TaskLost as error:
            pid = self.discard()
            raise StepFailed("process_lost", time.perf_counter_ns(), pid) from error
        if answer is None:
            pid = self.discard()
            raise StepFailed("deadline", started_ns + deadline_ns, pid)
        good, value = answer
        if not good:
            raise value
        return value

    def accuracy(self) -> float:
        """The accuracy of the live state, computed where the model is.

        Raises:
            StepFailed: the process has ended.
        """
        if self._current is None:
            raise RestoreFailed("there is no step process with a state to evaluate")
        try:
            return float(self._ask(step_child.accuracy))
        except TaskLost as error:
            raise StepFailed("process_lost", time.perf_counter_ns(), self.discard()) from error

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        assert self._current is not None
        self._current.send(function, arguments)
        answer = self._current.receive(time.monotonic_ns() + PATIENCE_NS)
        if answer is None:
            raise BenchmarkFailed(f"the step process did not answer to {function.__name__} within {READY_S:g} s")
        good, value = answer
        if not good:
            raise value
        return value

    def discard(self) -> int:
        """Kills the present process; gives its pid, as evidence."""
        assert self._current is not None
        pid = self._current.worker.pid
        self._current.kill()
        self._current = None
        return pid

    def close(self) -> None:
        """Kills all of them."""
        for task in [*self._ready, *self._preparing, *([self._current] if self._current else [])]:
            with contextlib.suppress(OSError):
                task.kill()
        self._ready, self._preparing, self._current = [], [], None
        self._client.close()
