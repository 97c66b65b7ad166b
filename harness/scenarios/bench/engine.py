"""What the engine costs: time added to an iteration, its share of a real millisecond, and the supervisor's memory."""

import hashlib
import time
from collections.abc import Callable
from statistics import median
from typing import Annotated

from harness.engine.loop import Tally, iterate_until_error
from harness.measure.paired import paired_ratio
from harness.measure.proc import high_water_mb
from harness.measure.samples import Phase, SampleFile
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.bench.inner import InnerHarness

_BLOCK = b"\0" * 65536


class _Work:
    """A runner whose iteration is the given work."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work

    def setup(self, context: Context) -> None:
        """Nothing to build."""

    def iterate(self, context: Context) -> None:
        """Does the work once."""
        self._work()

    def teardown(self) -> None:
        """Nothing to release."""


class _Empty(_Work):
    """A runner that does nothing, so that only the loop is left."""

    def iterate(self, context: Context) -> None:
        """Does nothing."""


class EngineCost:
    """Runs the engine's own loop and a bare loop in turn, in this process, while the telemetry of this run is on."""

    def __init__(
        self,
        *,
        empty_iterations: Annotated[int, Range(min=100)],
        work_iterations: Annotated[int, Range(min=1)],
        work_rounds: Annotated[int, Range(min=1)],
    ) -> None:
        self._empty_iterations = empty_iterations
        self._work_iterations = work_iterations
        self._work_rounds = work_rounds
        self._blocks = 1
        self._inner: InnerHarness | None = None

    def setup(self, context: Context) -> None:
        """Opens a sample file of its own for the inner loop and sizes the work to a millisecond."""
        self._samples = SampleFile(context.folder / "inner_samples.bin", create=True, capacity=1 << 16)
        self._context = Context(self._samples, context.catalogue, context.emit, context.folder, phase=Phase.MEASURE)
        self._tag = self._samples.id_of("iteration.duration_ms")
        self._blocks = max(1, round(1e6 / self._time_one_block()))
        self._inner = InnerHarness(context.folder / "inner")

    def _time_one_block(self) -> float:
        times = []
        for _ in range(200):
            started = time.perf_counter_ns()
            hashlib.sha256(_BLOCK).digest()
            times.append(time.perf_counter_ns() - started)
        return median(times)

    def _work(self) -> None:
        for _ in range(self._blocks):
            hashlib.sha256(_BLOCK).digest()

    def iterate(self, context: Context) -> None:
        """One round: the empty loops in turn, the loops over a real millisecond in turn, and a whole small run."""
        count = self._empty_iterations
        engine_ns = self._engine_loop(_Empty(self._work), count)
        bare_ns = _bare_loop(_nothing, count)
        context.record("bench.engine.overhead_us", (engine_ns - bare_ns) / count / 1e3)
        ours, theirs = [], []
        for turn in range(self._work_rounds):
            for first in (turn % 2 == 0, turn % 2 == 1):  # who goes first changes from turn to turn
                if first:
                    ours.append(self._engine_loop(_Work(self._work), self._work_iterations))
                else:
                    theirs.append(_bare_loop(self._work, self._work_iterations))
        ratio = paired_ratio(ours, theirs)
        context.record("bench.engine.share_of_1ms", ratio.estimate - 1.0)
        context.record("bench.engine.supervisor_mb", self._supervisor_mb())

    def _engine_loop(self, runner: _Work, count: int) -> int:
        self._samples.rewind()  # so that it never has to grow
        started = time.perf_counter_ns()
        iterate_until_error(runner, self._context, self._tag, 0, count, Tally())
        return time.perf_counter_ns() - started

    def _supervisor_mb(self) -> float:
        """The high-water mark of the supervisor of a whole run, read while it lives."""
        assert self._inner is not None
        highest = 0.0
        started = self._inner.start("scenario=function", "measure.iterations=20")
        while not started.ended_within(0.002):
            highest = max(highest, high_water_mb(started.child.pid) or 0.0)
        started.finish(0)
        return highest

    def teardown(self) -> None:
        """Removes what was written."""
        self._samples.close()
        if self._inner is not None:
            self._inner.remove()


def _nothing() -> None:
    return None


def _bare_loop(work: Callable[[], object], count: int) -> int:
    """What anyone would write by hand: read the clock, work, read the clock."""
    clock = time.perf_counter_ns
    started = clock()
    if work is _nothing:
        for _ in range(count):
            clock()
            clock()
    else:
        for _ in range(count):
            clock()
            work()
            clock()
    return clock() - started
