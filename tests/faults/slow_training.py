"""A training whose checkpoints lie on a slow disk: what it held up, and what a restore with little time did."""

import functools
import os
import time
from pathlib import Path
from typing import Any

import torch

from harness.controlloop import models
from harness.controlloop.disktier.disk import CheckpointSettings, Disk
from harness.controlloop.disktier.shadow import RestoreLate
from harness.process.channel import Channel
from tests.controlloop import trainings
from tests.disks import SlowDisk

CHECKPOINTS = CheckpointSettings(every=1, keep=3, threads=2, strict=True)
LARGE = functools.partial(models.mlp, embedding=8, hidden=640, layers=2, norm="batch", dropout=0.0)


def train(channel: Channel) -> int:
    """Steps until a checkpoint has reached the disk, then restores it twice: with too little time, and with enough."""
    torch.set_num_threads(1)
    order = channel.receive() or {}
    slow = SlowDisk(Path(order["place"]), Path(order["group"]))
    training, told = trainings.trainer(LARGE), trainings.Told()
    slow.slow_down()
    disk = Disk(training.state, slow.place / "checkpoints", CHECKPOINTS, told)
    steps = 0
    while not disk.targets:
        disk.keep()
        training.step()
        disk.confirm()
        training.advance()
        steps += 1
    disk.settle()
    file = slow.place / "checkpoints" / disk.targets[0].transaction.file
    forget_cached(file)
    live = training.state.digest()
    late = attempt(disk, float(order["too_little_s"]))
    unchanged = training.state.digest() == live
    # The threads that were too late are still reading; only when they are back is the shadow used again.
    in_time = attempt(disk, 60.0)
    channel.send(
        {
            "steps": steps,
            "bytes": training.state.bytes,
            "blocking_ms": told.samples["tolaria.checkpoint.blocking_ms"],
            "flush_ms": told.samples["tolaria.checkpoint.flush_ms"],
            "skipped": disk.counters()["tolaria.checkpoint.skipped_total"],
            "late": late,
            "unchanged": unchanged,
            "in_time": in_time,
        }
    )
    disk.close()
    return 0


def attempt(disk: Disk, budget_s: float) -> dict[str, Any]:
    """How a restore with that much time ended, and after how long."""
    started = time.perf_counter_ns()
    try:
        step: int | None = disk.load(deadline_ns=started + int(budget_s * 1e9)).step
    except RestoreLate:
        step = None
    return {"step": step, "elapsed_s": (time.perf_counter_ns() - started) / 1e9}


def forget_cached(file: Path) -> None:
    """Drops a file's pages, so that the next read comes from the device."""
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
