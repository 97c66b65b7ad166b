"""Calls with a deadline against the pools that people use: the round trip, the recovery from a stuck call, leaks."""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Annotated, Any

from harness.errors import BenchmarkFailed, DeadlineExceeded
from harness.measure.paired import paired_ratio
from harness.process import linux
from harness.process.calls import Calls
from harness.process.launcher import Launcher
from harness.process.pool import TaskPool, open_descriptors
from harness.ranges import Range
from harness.runner import Context

GENEROUS_S = 60.0  # for calls that are to succeed


def nothing() -> None:
    """The smallest call."""


def stuck() -> None:
    """A C call that ends long after every deadline and hears no Python signal handler."""
    ctypes.CDLL(None).sleep(3600)


class CallCost:
    """One iteration is one block of paired rounds; the leak is counted once, after `hung_calls` stuck calls."""

    def __init__(
        self,
        *,
        round_trips: Annotated[int, Range(min=10)],
        recoveries: Annotated[int, Range(min=1)],
        pebble_recoveries: Annotated[int, Range(min=1)],
        deadline_s: Annotated[float, Range(above=0)],
        hung_calls: Annotated[int, Range(min=1)],
    ) -> None:
        self._round_trips = round_trips
        self._recoveries = recoveries
        self._pebble_recoveries = pebble_recoveries
        self._deadline_s = deadline_s
        self._hung_calls = hung_calls
        self._launcher = Launcher()
        self._calls: Calls | None = None
        self._leaks_counted = False

    def setup(self, context: Context) -> None:
        """Starts ours and the peers, each warm, with one process to serve.

        Raises:
            BenchmarkFailed: a peer is not installed: without it there is nothing to compare with.
        """
        try:
            import pebble
        except ImportError as error:
            raise BenchmarkFailed("the peer pebble is not installed", "pip install -e '.[peers]'") from error
        self._calls = _calls_of(self._launcher, 1)
        forkserver = get_context("forkserver")
        forkserver.set_forkserver_preload([__name__])
        self._futures = ProcessPoolExecutor(1, mp_context=forkserver)
        self._pebble = pebble.ProcessPool(max_workers=1, context=forkserver)
        self._peers: tuple[Callable[[], Any], ...] = (self._by_futures, self._by_pebble)
        for peer in (self._by_us, *self._peers):
            for _ in range(20):
                peer()

    @property
    def calls(self) -> Calls:
        """Ours."""
        assert self._calls is not None
        return self._calls

    def _by_us(self) -> None:
        self.calls.call(nothing, deadline_s=GENEROUS_S)

    def _by_futures(self) -> None:
        self._futures.submit(nothing).result(timeout=GENEROUS_S)

    def _by_pebble(self) -> None:
        self._pebble.schedule(nothing, timeout=GENEROUS_S).result()

    def iterate(self, context: Context) -> None:
        """Round trips in turn, recoveries in turn, and the first time the leak."""
        ours, futures, pebbles = [], [], []
        for _ in range(self._round_trips):
            ours.append(_time(self._by_us))
            futures.append(_time(self._by_futures))
            pebbles.append(_time(self._by_pebble))
        context.record("bench.calls.submit_us", sorted(ours)[len(ours) // 2] / 1e3)
        context.record("bench.calls.submit_vs_processpool", paired_ratio(futures, ours).estimate)
        context.record("bench.calls.submit_vs_pebble", paired_ratio(pebbles, ours).estimate)
        recovered = [self._recover() for _ in range(self._recoveries)]
        for milliseconds in recovered:
            context.record("bench.calls.recover_ms", milliseconds)
        pebble_ms = [self._pebble_recovers() for _ in range(self._pebble_recoveries)]
        own_ms = sorted(recovered)[len(recovered) // 2]
        context.record("bench.calls.recover_vs_pebble", sorted(pebble_ms)[len(pebble_ms) // 2] / own_ms)
        if context.phase.name == "MEASURE" and not self._leaks_counted:
            self._leaks_counted = True
            context.record("bench.calls.leaked", self._leaked(context))

    def _recover(self) -> float:
        """Milliseconds from the deadline of a stuck call to the result of the next call."""
        started = time.perf_counter_ns()
        try:
            self.calls.call(stuck, deadline_s=self._deadline_s)
        except DeadlineExceeded:
            self._by_us()
            return (time.perf_counter_ns() - started) / 1e6 - self._deadline_s * 1e3
        raise BenchmarkFailed("the stuck call came back")

    def _pebble_recovers(self) -> float:
        started = time.perf_counter_ns()
        try:
            self._pebble.schedule(stuck, timeout=self._deadline_s).result()
        except TimeoutError:
            self._by_pebble()
            return (time.perf_counter_ns() - started) / 1e6 - self._deadline_s * 1e3
        raise BenchmarkFailed("the stuck call of the peer came back")

    def _leaked(self, context: Context) -> float:
        """Threads, descriptors and children more than before, after very many calls that hung."""
        before = _held()
        launcher = Launcher()
        calls = _calls_of(launcher, 4)
        late = 0
        while late < self._hung_calls and not context.cancelled:
            handles = [calls.submit(stuck, deadline_s=self._deadline_s) for _ in range(8)]
            late += sum(isinstance(handle.exception(), DeadlineExceeded) for handle in handles)
        calls.call(nothing, deadline_s=GENEROUS_S)
        calls.close()
        launcher.close()
        for _ in range(10_000):  # a joined thread ends in the kernel only a little later
            leaked = {name: max(0, count - before[name]) for name, count in _held().items()}
            if not any(leaked.values()):
                break
            os.sched_yield()
        context.event("calls.hung", calls=late, counts=dict(calls.counts), leaked=leaked)
        return float(sum(leaked.values()))

    def teardown(self) -> None:
        """Ends all pools."""
        if self._calls is None:
            return
        self._calls.close()
        self._futures.shutdown(cancel_futures=True)
        self._pebble.stop()
        self._pebble.join()
        self._launcher.close()


def _calls_of(launcher: Launcher, most: int) -> Calls:
    client = launcher.warm([__name__])
    if client is None:
        raise BenchmarkFailed("this platform cannot fork, so there is no zygote to measure")
    return Calls(TaskPool(client, most=most, spares=1, path=[path for path in sys.path if path]))


def _held() -> dict[str, int]:
    children = len(linux.descendant_pids(os.getpid()))
    return {"threads": linux.thread_count(), "descriptors": open_descriptors(), "children": children}


def _time(work: Callable[[], None]) -> int:
    started = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - started
