"""What starting costs: verbs against a bare interpreter, the way to the first iteration, the next worker, a cancel."""

import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from harness.errors import BenchmarkFailed
from harness.measure.paired import paired_ratio
from harness.measure.samples import SampleFile, read_records
from harness.process import reap
from harness.process.channel import Channel, Lines
from harness.process.children import Finished
from harness.process.launcher import Launcher
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.bench.inner import InnerHarness, Started

BARE = "import argparse, json, sqlite3"
TORCH = "import os, torch, torch._dynamo; os._exit(0)"  # without the interpreter's own end, which takes its time too
VERBS = (("--help",), ("list",), ("results",), ("show", "last"))
TRAINING = ("scenario=steady_train", "model=linear", "measure.warmup=0", "measure.iterations=1")
ENDLESS = ("scenario=function", "measure.warmup=0", "measure.iterations=1000000")


class StartCost:
    """One iteration is one round over everything, each thing timed next to what it is compared with."""

    def __init__(
        self,
        *,
        verb_rounds: Annotated[int, Range(min=3)],
        starts: Annotated[int, Range(min=1)],
        workers: Annotated[int, Range(min=2)],
    ) -> None:
        self._verb_rounds, self._starts = verb_rounds, starts
        self._workers = workers
        self._inner: InnerHarness | None = None
        self._launcher = Launcher()

    def setup(self, context: Context) -> None:
        """Fills a store with a few runs for the verbs to read, and starts a zygote with torch in it."""
        self._inner = InnerHarness(context.folder / "inner")
        for _ in range(3):
            self._inner.start("scenario=function", "measure.iterations=5").finish(0)
        self._spawn_and_step()

    @property
    def inner(self) -> InnerHarness:
        """The harness under measurement."""
        assert self._inner is not None
        return self._inner

    def iterate(self, context: Context) -> None:
        """All four, once."""
        worst = max(self._verb(verb) for verb in VERBS)
        context.record("bench.start.verb_vs_python", worst)
        for _ in range(self._starts):
            context.record("bench.start.first_iteration_s", self._first_iteration_s())
        for _ in range(self._workers):
            context.record("bench.start.second_worker_ms", self._spawn_and_step())
        context.record("bench.start.cancel_s", self._cancel_s())

    def _verb(self, verb: tuple[str, ...]) -> float:
        """The CPU time of a verb over that of a bare interpreter, the median of paired runs."""
        ours, bare = [], []
        for _ in range(self._verb_rounds):
            ours.append(_cpu_s(self.inner.verb(*verb)))
            bare.append(_cpu_s(self.inner.python(BARE)))
        return paired_ratio(ours, bare).estimate

    def _first_iteration_s(self) -> float:
        """From the command to the first clock reading of the first iteration, less the bare import of torch."""
        bare_s = self.inner.python(TORCH).wall_ns / 1e9
        started = self.inner.start(*TRAINING)
        began_ns = started.child.started_ns
        started.finish(0)
        first = next(r for r in read_records(self.inner.newest_run() / "samples.bin") if r.metric.startswith("iter"))
        # The record's time is the end of the iteration, on the clock that all processes of a host share.
        return (first.time_ns - first.value * 1e6 - began_ns) / 1e9 - bare_s

    def _spawn_and_step(self) -> float:
        """Milliseconds from the request for a worker to its first optimizer step done."""
        asked_ns = time.perf_counter_ns()
        worker = self._launcher.spawn(
            f"{__name__}:one_step", preload=["torch", "torch._dynamo"], path=[path for path in sys.path if path]
        )
        worker.control.setblocking(True)
        lines = Lines()
        while data := worker.control.recv(4096):
            if lines.feed(data):
                break
        else:
            raise BenchmarkFailed("the worker ended before its first optimizer step")
        elapsed_ms = (time.perf_counter_ns() - asked_ns) / 1e6
        while worker.exit is None and self._launcher.collect(block=True):
            pass
        worker.close()
        return elapsed_ms

    def _cancel_s(self) -> float:
        """Seconds from SIGINT to the exit of the whole command, with every completed sample in its result."""
        started = self.inner.start(*ENDLESS)
        samples = self._await_samples(started)
        seen = samples.count
        reap.kill(started.child.pid, signal.SIGINT)
        asked_ns = time.perf_counter_ns()
        finished = started.finish(130)
        elapsed_s = finished.wall_ns / 1e9 - (asked_ns - started.child.started_ns) / 1e9
        samples.close()
        kept = self.inner.result()["metrics"]["iteration.duration_ms"]["samples_total"]
        if kept < seen:
            raise BenchmarkFailed(f"{seen} samples were complete before the cancel, {kept} are in the result")
        return elapsed_s

    def _await_samples(self, started: Started) -> SampleFile:
        runs = self.inner.folder / "outputs" / "runs"
        before = set(runs.iterdir())
        while not started.ended_within(0.001):
            for folder in set(runs.iterdir()) - before:
                path: Path = folder / "samples.bin"
                if path.exists() and path.stat().st_size:
                    file = SampleFile(path)
                    if file.count >= 100:
                        return file
                    file.close()
        raise BenchmarkFailed("the run that was to be cancelled ended by itself")

    def teardown(self) -> None:
        """Ends the zygote and removes what was written."""
        self._launcher.close()
        if self._inner is not None:
            self._inner.remove()


def _cpu_s(finished: Finished) -> float:
    return (finished.user_s or 0.0) + (finished.system_s or 0.0)


def one_step(channel: Channel) -> int:
    """The entry of a worker that does one real optimizer step and says so."""
    import torch

    model: Any = torch.nn.Linear(32, 4)
    optimizer = torch.optim.Adam(model.parameters())
    loss: Any = torch.nn.functional.mse_loss(model(torch.randn(8, 32)), torch.randn(8, 4))
    loss.backward()
    optimizer.step()
    channel.send({"done": True})
    return 0
