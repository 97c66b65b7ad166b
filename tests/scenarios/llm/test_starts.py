"""Cold starts and memory: effects planted in real files and real processes."""

import functools
import mmap
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BenchmarkFailed
from harness.llm import page_cache
from harness.llm.engine import Served
from harness.llm.exchange import Exchange
from harness.llm.request import Request
from harness.llm.schedule import Patience, Schedule
from harness.process.children import Child
from harness.runner import Context
from harness.scenarios.llm.cold_start import ColdStart
from harness.scenarios.llm.memory import Memory
from tests.llm.gguf_writing import gguf, write
from tests.scenarios.llm.knobs import common, estimates, ran
from tests.scenarios.llm.scripted import ScriptedEngine

MIB = 1 << 20


class ReadsItsFile(ScriptedEngine):
    """Its first token comes the later, the less of the model's file was in the page cache when it started."""

    def __init__(self, *, model_path: str, missing_ms: float) -> None:
        super().__init__()
        self._file, self._missing_ms, self._share = Path(model_path), missing_ms, 1.0

    def start(self, context: Context) -> Served:
        share = page_cache.resident_share([self._file])
        assert share is not None
        self._share = share
        return super().start(context)

    def exchange(
        self, requests: Sequence[Request], schedule: Schedule, patience: Patience, context: Context
    ) -> list[Exchange]:
        self._now_ns = time.monotonic_ns() + round((1 - self._share) * self._missing_ms * 1e6)
        return super().exchange(requests, schedule, patience, context)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A whole model file of some MiB that is on the disk, on a file system that lets go of it."""
    path = write(tmp_path / "model.gguf", gguf({"general.architecture": "llama"}, {"w": (0, 2 * MIB)}))
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)
    page_cache.drop([path])
    if page_cache.resident_share([path]) != 0:
        pytest.skip("this file system keeps its pages")
    return path


def cold_starts(make: Any, **knobs: Any) -> ColdStart:
    return ColdStart(**common(make), **{"resident_at_most": 0.02, **knobs})


def test_a_start_from_the_disk_and_one_from_the_page_cache_are_told_apart(model: Path, tmp_path: Path) -> None:
    make = functools.partial(ReadsItsFile, model_path=str(model), missing_ms=60_000.0)
    hand = ran(cold_starts(make), tmp_path, 2)
    assert all(share <= 0.02 for share in estimates(hand, "llm.start.page_cache_cold_resident"))
    assert estimates(hand, "llm.start.cold_resident") == [1.0, 1.0]
    assert all(58_000 < value < 62_000 for value in estimates(hand, "llm.start.disk_ms"))
    assert all(value < 30_000 for value in estimates(hand, "llm.start.cold_ms"))
    assert estimates(hand, "llm.start.cold_load_ms") == [25.0, 25.0]


def test_a_file_that_another_process_holds_makes_no_cold_start(model: Path, tmp_path: Path) -> None:
    make = functools.partial(ReadsItsFile, model_path=str(model), missing_ms=1000.0)
    with model.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as held:
        assert sum(held[at] for at in range(0, len(held), mmap.PAGESIZE)) >= 0
        hand = ran(cold_starts(make), tmp_path)
    assert estimates(hand, "llm.start.page_cache_cold_ms") == []
    assert len(estimates(hand, "llm.start.cold_ms")) == 1
    assert "llm.start.not_cold" in hand.event_names()


def test_a_platform_without_the_call_says_that_it_has_no_such_start(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fadvise")
    make = functools.partial(ReadsItsFile, model_path=str(model), missing_ms=1000.0)
    hand = ran(cold_starts(make), tmp_path)
    assert ("metric.unavailable", "llm.start.page_cache_cold_ms") in [
        (name, attributes.get("metric")) for name, attributes in hand.events
    ]
    assert len(estimates(hand, "llm.start.cold_ms")) == 1


def test_an_engine_without_a_file_of_this_host_cannot_be_started_cold(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="loads no file of this host"):
        ran(cold_starts(functools.partial(ScriptedEngine, slots=1)), tmp_path)


HOLD = "import sys, time; held = bytearray(b'x') * int(sys.argv[1]); print('ready', flush=True); time.sleep(600)"


class HoldsMemory(ScriptedEngine):
    """Answers by the script, while a process of its own holds so many bytes for each token of its context."""

    def __init__(self, *, context_tokens: int, bytes_each: int) -> None:
        super().__init__(context_tokens=context_tokens)
        self._bytes = context_tokens * bytes_each
        self._child: Child | None = None

    def start(self, context: Context) -> Served:
        reader, writer = os.pipe()
        self._child = Child([sys.executable, "-c", HOLD, str(self._bytes)], stdout=writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as said:
            assert said.readline() == b"ready\n"
        self.pid = self._child.pid
        return super().start(context)

    def close(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child.wait()
            self._child = None


def memory(make: Any) -> Memory:
    return Memory(**common(make), contexts=[2048, 8192, 16384], fill=0.0)


def test_memory_finds_what_a_token_of_context_takes(tmp_path: Path) -> None:
    hand = ran(memory(functools.partial(HoldsMemory, bytes_each=4096)), tmp_path, 2)
    assert estimates(hand, "llm.memory.bytes_per_context_token") == [pytest.approx(4096, rel=0.02)] * 2
    fixed_mb = estimates(hand, "llm.memory.fixed_mb")
    assert all(2 < value < 60 for value in fixed_mb)  # an interpreter
    assert len([name for name in hand.event_names() if name == "llm.memory.peak"]) == 6


def test_memory_of_the_measuring_process_is_never_called_the_models(tmp_path: Path) -> None:
    """Trap: what one size frees stays with the process, and the next size uses it again."""
    with pytest.raises(BenchmarkFailed, match="the process that measures"):
        ran(memory(functools.partial(ScriptedEngine, pid=os.getpid())), tmp_path)


def test_memory_of_a_server_elsewhere_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="cannot be seen from here"):
        ran(memory(ScriptedEngine), tmp_path)
