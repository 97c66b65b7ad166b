"""What a long history costs: a query, the same as a command, storing and exporting a run, reading the index anew."""

import os
import random
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Annotated

from harness.errors import BenchmarkFailed, Cancelled
from harness.measure.paired import paired_ratio
from harness.process.children import Finished
from harness.ranges import Range
from harness.results.canonical import pretty
from harness.results.index import Index
from harness.results.store import Store
from harness.runner import Context
from harness.scenarios.bench.archive import APART_S, FIRST_S, a_result, fill
from harness.scenarios.bench.inner import InnerHarness
from harness.scenarios.bench.start import BARE

_LAST = 20
_SPAN_S = 30 * 86400.0  # of a query
_FORMATS = ("json", "csv", "markdown")  # of an export


class HistoryCost:
    """One iteration is a block of queries, paired commands, stored runs and one rebuild."""

    def __init__(
        self,
        *,
        runs: Annotated[int, Range(min=1000)],
        rebuilt: Annotated[int, Range(min=100)],
        queries: Annotated[int, Range(min=10)],
        commands: Annotated[int, Range(min=1)],
        stored: Annotated[int, Range(min=1)],
        exported: Annotated[int, Range(min=1)],
    ) -> None:
        self._runs, self._rebuilt = runs, rebuilt
        self._queries, self._commands, self._stored, self._exported = queries, commands, stored, exported
        self._random = random.Random(0)
        self._inner: InnerHarness | None = None
        self._other: InnerHarness | None = None
        self._index: Index | None = None
        self._storing: Storing | None = None
        self._small: Path | None = None

    def setup(self, context: Context) -> None:
        """Fills the stores; the index of the large one is read for the first time here, and how long that took told."""
        self._inner = InnerHarness(context.folder / "inner")
        outputs = self._inner.folder / "outputs"
        fill(outputs, self._runs, lambda: context.cancelled)
        self._small = context.folder / "small"
        fill(self._small, self._rebuilt, lambda: context.cancelled)
        self._index = Index(outputs)
        started = time.perf_counter()
        found = self._index.rebuild()
        context.event("bench.history.filled", runs=found, first_index_s=time.perf_counter() - started)
        if found != self._runs:
            raise BenchmarkFailed(f"{self._runs} runs were written and {found} found")
        self._storing = Storing(context.folder / "storing")
        self._other = InnerHarness(context.folder / "other")
        self._other.start("scenario=function", f"measure.iterations={self._exported}").finish(0)
        # A folder that has just changed may change again within a tick of its clock, so the index would list it anew.
        os.utime(outputs / "runs", (time.time() - 3600, time.time() - 3600))
        self._index.find(last=1)

    def iterate(self, context: Context) -> Mapping[str, float]:
        """All of them, once; how the query is after the folder has changed is shown beside them."""
        assert self._storing is not None
        if context.cancelled:
            raise Cancelled
        begun, stored, synced = self._storing.rounds(self._stored)
        return {
            "bench.history.query_ms": median(self._query_ms() for _ in range(self._queries)),
            "bench.history.command_vs_python": self._command(),
            "bench.history.store_ms": median(stored) - median(synced),
            "bench.history.begin_ms": median(begun) - median(synced),
            "bench.history.fdatasync_ms": median(synced),
            "bench.history.export_s": max(self._export_s(form) for form in _FORMATS),
            "bench.history.rebuild_per_s": self._rebuild_per_s(),
            "bench.history.changed_query_ms": self._changed_query_ms(),
        }

    def _span(self) -> tuple[float, float]:
        """A month somewhere in the history."""
        since = FIRST_S + self._random.random() * max(0.0, self._runs * APART_S - _SPAN_S)
        return since, since + _SPAN_S

    def _query_ms(self) -> float:
        assert self._index is not None
        since, until = self._span()
        started = time.perf_counter_ns()
        found = self._index.find(last=_LAST, status="completed", since=since, until=until)
        elapsed = time.perf_counter_ns() - started
        if len(found) != _LAST or any(row["status"] != "completed" for row in found):
            raise BenchmarkFailed(f"a query for the last {_LAST} completed runs of a month gave {len(found)} rows")
        return elapsed / 1e6

    def _command(self) -> float:
        """CPU time of the query as a command over that of a bare interpreter, the median of paired runs."""
        assert self._inner is not None
        ours, bare = [], []
        for _ in range(self._commands):
            since, until = (_typed(moment) for moment in self._span())
            words = ("results", "--last", str(_LAST), "--status", "completed", "--from", since, "--to", until)
            ours.append(_cpu_s(self._inner.verb(*words)))
            bare.append(_cpu_s(self._inner.python(BARE)))
        return paired_ratio(ours, bare).estimate

    def _export_s(self, form: str) -> float:
        """Wall time of the command that exports a run as this format."""
        assert self._other is not None
        started = time.perf_counter()
        self._other.verb("export", "last", "--format", form, "--output", str(self._other.folder / f"run.{form}"))
        return time.perf_counter() - started

    def _rebuild_per_s(self) -> float:
        assert self._small is not None
        index = Index(self._small)
        try:
            started = time.perf_counter()
            found = index.rebuild()
            return found / (time.perf_counter() - started)
        finally:
            index.close()

    def _changed_query_ms(self) -> float:
        """The first query after a run was added: the folder is listed and held against the index."""
        assert self._index is not None
        runs = self._inner_runs()
        os.utime(runs)
        started = time.perf_counter_ns()
        self._index.find(last=_LAST, status="completed")
        elapsed = time.perf_counter_ns() - started
        os.utime(runs, (time.time() - 3600, time.time() - 3600))
        self._index.find(last=1)
        return elapsed / 1e6

    def _inner_runs(self) -> Path:
        assert self._inner is not None
        return self._inner.folder / "outputs" / "runs"

    def teardown(self) -> None:
        """Closes and removes everything."""
        for part in (self._index, self._storing):
            if part is not None:
                part.close()
        for inner in (self._inner, self._other):
            if inner is not None:
                inner.remove()
        if self._small is not None:
            shutil.rmtree(self._small, ignore_errors=True)


class Storing:
    """A store that takes run after run, and a file beside it that is written and synced bare."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._store = Store(folder / "outputs")
        self._result = a_result()
        self._content = pretty(self._result)
        self._bare = os.open(folder / "bare", os.O_RDWR | os.O_CREAT, 0o644)

    def rounds(self, count: int) -> tuple[list[float], list[float], list[float]]:
        """Milliseconds of beginning a run, of storing its result, and of one bare write and fdatasync."""
        begun: list[float] = []
        stored: list[float] = []
        synced: list[float] = []
        for _ in range(count):
            at = [time.perf_counter_ns()]
            os.pwrite(self._bare, self._content, 0)
            os.fdatasync(self._bare)
            at.append(time.perf_counter_ns())
            run = self._store.create_run(scenario="stored", device="cpu", trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
            at.append(time.perf_counter_ns())
            self._store.finish({**self._result, "run_id": run.run_id}, report="# a report\n")
            at.append(time.perf_counter_ns())
            for times, began, ended in zip((synced, begun, stored), at, at[1:], strict=False):
                times.append((ended - began) / 1e6)
        return begun, stored, synced

    def close(self) -> None:
        """Closes and removes both."""
        os.close(self._bare)
        self._store.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _cpu_s(finished: Finished) -> float:
    return (finished.user_s or 0.0) + (finished.system_s or 0.0)


def _typed(seconds: float) -> str:
    """A moment as a person types it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
