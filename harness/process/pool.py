"""The processes behind calls with a deadline: some idle, a spare on the way, each replaced the moment it is killed."""

import mmap
import os
import select
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from harness.errors import WorkerLost
from harness.process.client import Request, ZygoteClient
from harness.process.task import ENTRY, Task


class TaskPool:
    """Up to `most` processes in use and `spares` waiting; every method may be called from any thread.

    The connection is this pool's alone: an answer of the zygote goes to whoever reads it.
    """

    def __init__(
        self,
        client: ZygoteClient,
        *,
        most: int,
        spares: int,
        arena_bytes: int = 0,
        preload: Sequence[str] = (),
        path: Sequence[str] = (),
    ) -> None:
        self._client = client
        self._most = most
        self._spares = spares
        self._arena_bytes = arena_bytes
        self._request = Request(ENTRY, list(preload), "fork", list(path))
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiters = 0
        self._idle: deque[Task] = deque()
        self._arenas: deque[mmap.mmap | None] = deque()
        self._asked = 0
        self._used = 0
        self._generation = 0
        self._lost = False
        with self._changed:
            self._order()

    def _order(self) -> None:
        """Asks for processes until there are enough idle or on the way; the zygote forks while we go on."""
        wanted = min(self._spares + 1, self._spares + self._most - self._used)
        while len(self._idle) + self._asked < wanted:
            descriptors = []
            if self._arena_bytes:
                memory = os.memfd_create("harness-call")
                os.ftruncate(memory, self._arena_bytes)
                descriptors.append(memory)
            self._client.ask(self._request, descriptors)
            self._arenas.append(mmap.mmap(descriptors[0], 0) if descriptors else None)
            for descriptor in descriptors:
                os.close(descriptor)
            self._asked += 1

    def fileno(self) -> int:
        """Readable when a process has started or ended; then `collect`."""
        return self._client.control.fileno()

    def collect(self) -> bool:
        """Takes what the zygote says; False when it is gone."""
        with self._changed:
            alive = self._client.collect()
            while (worker := self._client.take()) is not None:
                self._asked -= 1
                self._generation += 1
                self._idle.append(Task(worker, self._generation, self._arenas.popleft()))
            self._lost = self._lost or not alive
            self._changed.notify_all()
            return alive

    def acquire(self, until_ns: int | None = None) -> Task | None:
        """An idle process; waits for one until a time of the monotonic clock, or not at all.

        Raises:
            WorkerLost: the zygote is gone, so there will be none.
        """
        with self._lock:
            if (not self._idle or self._used >= self._most) and not self._wait(until_ns):
                return None
            self._used += 1
            return self._idle.popleft()

    def _wait(self, until_ns: int | None) -> bool:
        """Waits, with the lock given up meanwhile, until a process may be used; whether one may."""
        self._waiters += 1
        try:
            while not self._idle or self._used >= self._most:
                if self._lost:
                    raise WorkerLost("the zygote is gone; there are no processes for calls any more")
                left_s = 0.0 if until_ns is None else (until_ns - time.monotonic_ns()) / 1e9
                if left_s <= 0 or not self._changed.wait(left_s):
                    return False
            return True
        finally:
            self._waiters -= 1

    def top_up(self) -> None:
        """Orders what is missing; called after a call was sent, so that the fork does not stand in its way."""
        if len(self._idle) + self._asked < self._spares:
            with self._changed:
                self._order()

    def release(self, task: Task) -> None:
        """Takes a process back that has answered; the last one used is the first to be used again, for its caches."""
        with self._lock:
            self._used -= 1
            self._idle.appendleft(task)
            if self._waiters:
                self._changed.notify()

    def replace(self, task: Task) -> None:
        """Kills a process. With a spare at hand the order for another waits until the next call is on its way."""
        task.kill()
        with self._changed:
            self._used -= 1
            if not self._idle:
                self._order()
            self._changed.notify()

    def close(self, timeout_s: float = 5.0) -> None:
        """Kills every process that is idle or still on its way; the connection stays the caller's and is usable."""
        until = time.monotonic() + timeout_s
        while self._asked and not self._lost and (left_s := until - time.monotonic()) > 0:
            if select.select([self._client.control], [], [], left_s)[0]:
                self.collect()
        with self._changed:
            self._lost = True
            for task in self._idle:
                task.kill()
            self._idle.clear()
            self._changed.notify_all()


def open_descriptors() -> int:
    """How many descriptors this process has open; for those who look for leaks."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
