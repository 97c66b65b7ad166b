"""What the write-ahead log and its checkpoints cost against bare system calls, and whether damage stays silent."""

import ctypes
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch

from harness.controlloop.arena import Arena
from harness.controlloop.device import usable
from harness.controlloop.disktier.disk import CheckpointSettings, Disk
from harness.controlloop.telemetry import Silent
from harness.controlloop.trainer import TrainerSettings
from harness.errors import BenchmarkFailed, Cancelled
from harness.journal.log import Log
from harness.measure.paired import paired_ratio
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.bench.damage import small_log, try_all
from harness.scenarios.bench.restore_subject import Size, Subject
from harness.scenarios.settings import settled

_SEGMENT_BYTES = 4 << 20  # of the log, and the room reserved for the bare writes
_PATIENCE_S = 60.0  # for one checkpoint to reach the disk


class WalCost:
    """One iteration is a block of paired commits and a few paired checkpoints; the first one also does the damage."""

    def __init__(
        self,
        *,
        trainer: TrainerSettings,
        tensors: Annotated[int, Range(min=8)],
        mb: Annotated[float, Range(above=0)],
        commits: Annotated[int, Range(min=10)],
        payload_bytes: Annotated[int, Range(min=1, max=1 << 16)],
        checkpoints: Annotated[int, Range(min=1)],
        damaged_records: Annotated[int, Range(min=1)],
    ) -> None:
        self._settings, self._tensors, self._mb = settled(TrainerSettings, trainer), tensors, mb
        self._commits, self._checkpoints, self._damaged_records = commits, checkpoints, damaged_records
        self._payload = random.Random(0).randbytes(payload_bytes)
        self._folder: Path | None = None
        self._commit: Commits | None = None
        self._blocking: Blocking | None = None
        self._counted = False

    def setup(self, context: Context) -> None:
        """Lays out a state of the size asked for, in memory and in a folder beside the run's files."""
        device = usable(context.device)
        if device.type != "cpu":
            raise BenchmarkFailed("bench_wal times checkpoints against memcpy on the host", "use device=cpu")
        self._folder = Path(tempfile.mkdtemp(prefix="wal-", dir=context.folder))
        self._commit = Commits(self._folder / "commits", self._payload)
        size = Size(mb=self._mb, adoptions=10, rounds=6)
        subject = Subject(size, self._tensors, self._settings, seed=context.seed, device=device)
        self._blocking = Blocking(subject, self._folder / "checkpoints")

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Commits in turn with bare writes, checkpoints in turn with bare copies."""
        assert self._folder is not None
        assert self._commit is not None
        assert self._blocking is not None
        ours, bare = self._commit.rounds(self._commits)
        copied = [self._round(context) for _ in range(self._checkpoints)]
        blocked, limits = [one[0] for one in copied], [one[1] for one in copied]
        found = {
            "bench.wal.commit_us": median(ours) / 1e3,
            "bench.wal.fdatasync_us": median(bare) / 1e3,
            "bench.wal.commit_vs_fdatasync": paired_ratio(ours, bare).estimate,
            "bench.wal.blocking_ms": median(blocked) / 1e6,
            "bench.wal.checkpoint_blocking": paired_ratio(blocked, limits).estimate,
            "bench.wal.flush_mb_per_s": median(one[2] for one in copied),
        }
        if not self._counted and context.phase.name == "MEASURE":
            self._counted = True
            found |= self._count_silent(context)
        return found

    def _round(self, context: Context) -> tuple[int, int, float]:
        if context.cancelled:
            raise Cancelled
        assert self._blocking is not None
        return self._blocking.round()

    def _count_silent(self, context: Context) -> dict[str, float]:
        assert self._folder is not None
        source = random.Random(context.seed)
        payloads = [source.randbytes(1 + 29 * number % 97) for number in range(self._damaged_records)]
        records = small_log(self._folder / "small", payloads, 512)
        reading = try_all(self._folder / "small", records, lambda: context.cancelled)
        context.event("bench.wal.damaged", records=len(records), **vars(reading))
        return {"bench.wal.silent_corruptions": reading.silent, "bench.wal.corruptions_tried": reading.tried}

    def teardown(self) -> None:
        """Closes and removes what was written."""
        for part in (self._commit, self._blocking):
            if part is not None:
                part.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class Commits:
    """A log, and a file of the same size on the same disk into which the same bytes are written bare."""

    def __init__(self, folder: Path, payload: bytes) -> None:
        self._payload = payload
        self._log = Log(folder, segment_bytes=_SEGMENT_BYTES)
        self._bare = os.open(folder / "bare", os.O_RDWR | os.O_CREAT, 0o644)
        os.posix_fallocate(self._bare, 0, _SEGMENT_BYTES)
        os.fsync(self._bare)
        self._at = 0
        self._order = random.Random(0)

    def rounds(self, count: int) -> tuple[list[int], list[int]]:
        """Nanoseconds of commits and of bare writes, one of each a round, in random order."""
        ways: list[tuple[Callable[[], object], list[int]]] = [(self._commit, []), (self._write, [])]
        for _ in range(count):
            for way, times in self._order.sample(ways, 2):
                started = time.perf_counter_ns()
                way()
                times.append(time.perf_counter_ns() - started)
        return ways[0][1], ways[1][1]

    def _commit(self) -> None:
        self._log.append(1, self._payload)

    def _write(self) -> None:
        os.pwrite(self._bare, self._payload, self._at)
        os.fdatasync(self._bare)
        self._at = (self._at + len(self._payload)) % (_SEGMENT_BYTES - len(self._payload))

    def close(self) -> None:
        """Closes both files."""
        self._log.close()
        os.close(self._bare)


class Blocking:
    """Checkpoints of a real training, and the fastest copies between the same memory."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self._subject = subject
        settings = CheckpointSettings(every=1, keep=1, threads=1, strict=True)
        self._disk = Disk(subject.state, folder, settings, Silent())
        self._copies = _copies(subject.state.live.arena, self._disk.staging)
        self._order = random.Random(0)

    def round(self) -> tuple[int, int, float]:
        """Nanoseconds that a checkpoint held training up, those of the faster bare copy, and MB/s to the disk."""
        self._subject.step()
        times: dict[str, int] = {}
        for name in self._order.sample(["checkpoint", *self._copies], 1 + len(self._copies)):
            started = time.perf_counter_ns()
            (self._disk.keep if name == "checkpoint" else self._copies[name])()
            times[name] = time.perf_counter_ns() - started
            if name == "checkpoint":
                flushed_s = self._flush(started)
        blocked = times.pop("checkpoint")
        return blocked, min(times.values()), self._subject.state.bytes / 1e6 / flushed_s

    def _flush(self, started: int) -> float:
        """Waits for the disk, so that the next copy is not measured beside it; says how long it took."""
        before = self._disk.committed
        self._disk.confirm()
        if not self._disk.wait(_PATIENCE_S) or self._disk.committed != before + 1:
            raise BenchmarkFailed(f"a checkpoint was not on the disk after {_PATIENCE_S:g} s", "free disk space")
        return (time.perf_counter_ns() - started) / 1e9

    def close(self) -> None:
        """Ends the threads."""
        self._disk.close()


def _copies(live: Arena, staging: Arena) -> dict[str, Callable[[], Any]]:
    (source,), (to,) = live.blocks, staging.blocks
    to_words, source_words = to.view(torch.int64), source.view(torch.int64)
    to_address, source_address, size = to.data_ptr(), source.data_ptr(), to.numel()
    return {
        "memcpy": lambda: ctypes.memmove(to_address, source_address, size),
        "torch": lambda: to_words.copy_(source_words),
    }
