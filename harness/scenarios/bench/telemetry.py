"""What telemetry costs: the sampler's own CPU time over wall time, on a busy tree of the size of a training run."""

import os
import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from harness.errors import BenchmarkFailed
from harness.measure.telemetry import TreeSampler
from harness.process.children import Child
from harness.ranges import Range
from harness.runner import Context

_STORM_PAUSE_S = 0.001  # far below any sensible interval, to see that the sampler keeps to its share by itself
_READY = b"ready\n"

# Runs in its own interpreter: holds memory, keeps idle threads as torch does, and works without pause; its children
# work a little and wait, as loaders of data do. More work would make tasks wait for a CPU: then there is no verdict.
_LOAD = """
import hashlib, os, sys, threading, time
threads, children, megabytes = map(int, sys.argv[1:])
held = bytearray(megabytes << 20)
held[::4096] = b"x" * len(held[::4096])
for _ in range(threads):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
for _ in range(children):
    if os.fork() == 0:
        while True:
            hashlib.sha256(bytes(1 << 16)).digest()
            time.sleep(0.01)  # a load that took every core would leave no verdict
os.write(1, b"ready\\n")
while True:
    hashlib.sha256(held).digest()
"""


class BenchTelemetry:
    """Samples a busy process tree as the supervisor does; one iteration is one window of `samples` intervals."""

    def __init__(
        self,
        *,
        level: Literal["full", "light"],
        interval_s: Annotated[float, Range(above=0)],
        samples: Annotated[int, Range(min=2)],
        storm_s: Annotated[float, Range(above=0)],
        threads: Annotated[int, Range(min=0)],
        children: Annotated[int, Range(min=0)],
        memory_mb: Annotated[int, Range(min=1)],
    ) -> None:
        self._level: Literal["full", "light"] = level
        self._interval_s = interval_s
        self._samples = samples
        self._storm_s = storm_s
        self._load = [str(threads), str(children), str(memory_mb)]
        self._processes = children + 1
        self._tree: Child | None = None

    def setup(self, context: Context) -> None:
        """Starts the busy tree and waits until all of it runs."""
        reader, writer = os.pipe()
        try:
            self._tree = Child([sys.executable, "-c", _LOAD, *self._load], stdout=writer)
        finally:
            os.close(writer)
        with os.fdopen(reader, "rb") as ready:
            if ready.readline() != _READY:
                raise BenchmarkFailed("the load to be sampled did not start")

    def iterate(self, context: Context) -> Mapping[str, float]:
        """One window at the interval, then a storm of samples by each method."""
        usual = self._window(self._samples * self._interval_s, self._interval_s, use_psutil=None)
        storms = [self._window(self._storm_s, _STORM_PAUSE_S, use_psutil=method) for method in (False, True)]
        return {
            "bench.telemetry.cpu_share": usual["cpu_share"],
            "bench.telemetry.sample_us": usual["cost_us"]["p50"],
            "bench.telemetry.psutil_sample_us": storms[1]["cost_us"]["p50"],
            "bench.telemetry.most_share": max(storm["cpu_share"] for storm in storms),
        }

    def _window(self, seconds: float, interval_s: float, *, use_psutil: bool | None) -> dict[str, Any]:
        assert self._tree is not None
        sampler = TreeSampler(self._tree.pid, self._level, use_psutil=use_psutil)
        started = time.perf_counter()
        snapshot = sampler.sample()
        while time.perf_counter() - started < seconds:
            time.sleep(interval_s)  # the cadence of the supervisor is what is measured
            snapshot = sampler.sample()
        own: dict[str, Any] = sampler.summary()["sampler"]
        sampler.close()
        if own["errors"] or snapshot.values["tree.processes"] != self._processes:
            raise BenchmarkFailed(f"the sampler did not see the {self._processes} processes: {snapshot}, {own}")
        return own

    def teardown(self) -> None:
        """Ends the busy tree."""
        if self._tree is not None:
            self._tree.stop(grace_s=0.0)
            self._tree.wait()
