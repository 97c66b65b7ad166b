"""A real run on a file system in a file, killed, and the file looked at as the disk is after a power cut.

    unshare --mount python -m harness.scenarios.bench.power_cut FOLDER IMAGE_MB SECONDS

What the kernel had not yet written to the disk is in the memory of the mounted system only; a copy of the image does
not have it, and mounting the copy replays its journal as a boot after a power cut does. All mounts belong to a name
space of this process, so they end with it, however it ends. Needs root, loop devices and mkfs.ext4.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import BenchmarkFailed, StoreLost
from harness.journal.lines import read_journal
from harness.measure.samples import read_records
from harness.process import reap
from harness.process.children import output_of
from harness.results.times import epoch
from harness.scenarios.bench.inner import InnerHarness, Started
from harness.scenarios.bench.ticker import SCENARIO, TICK

NAMESPACE = ("unshare", "--mount", "--propagation", "private")
_TOOLS = ("unshare", "mount", "mkfs.ext4")
_PATIENCE_S = 30.0  # for the inner run to begin


def unavailable() -> str | None:
    """Why the power cannot be cut on this machine, None where it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "needs root, to mount"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    return None if Path("/dev/loop-control").exists() else "needs loop devices"


def cut(folder: Path, image_mb: int, seconds: float) -> dict[str, float]:
    """The seconds of events and of samples that a power cut after so many seconds of measuring took.

    Raises:
        BenchmarkFailed: something could not be mounted, or the run did not begin.
    """
    image, disk = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(image_mb << 20)
    _must("mkfs.ext4", "-q", "-F", str(image))
    disk.mkdir()
    _must("mount", "-o", "loop", str(image), str(disk))
    inner = InnerHarness(disk / "inner")
    conf = folder / "conf" / "scenario"
    conf.mkdir(parents=True)
    (conf / "ticker.yaml").write_text(SCENARIO, encoding="utf-8")
    started = inner.start("--config-dir", str(conf.parent), "scenario=ticker")
    try:
        _await_ticks(inner, started, seconds)
    finally:
        reap.kill_group(started.child.pid, signal.SIGKILL)
    alive = _read(inner.folder)  # what was in memory when the power went
    after = folder / "after.img"
    shutil.copyfile(image, after)
    started.finish(-signal.SIGKILL)
    again = folder / "again"
    again.mkdir()
    _must("mount", "-o", "loop", str(after), str(again))
    kept = _read(again / "inner")
    return {
        "events_lost_s": _lost_s(alive.events, kept.events),
        "samples_lost_s": _lost_s(alive.samples, kept.samples),
        "events": len(alive.events),
        "events_kept": len(kept.events),
        "samples": len(alive.samples),
        "samples_kept": len(kept.samples),
        "torn": kept.torn,
    }


def _lost_s(alive: Sequence[float], kept: Sequence[float]) -> float:
    """From the newest that is kept to the newest there was; from the very first where none is kept.

    Raises:
        BenchmarkFailed: there was nothing to lose.
    """
    if not alive:
        raise BenchmarkFailed("the run on the image had written nothing when the power went")
    return max(0.0, max(alive) - max(kept, default=min(alive)))


def _await_ticks(inner: InnerHarness, started: Started, seconds: float) -> None:
    """Returns when the run has measured for so long."""
    begun, deadline = None, time.monotonic() + _PATIENCE_S
    while not started.ended_within(0.02):
        if begun is None and _read(inner.folder).events:
            begun = time.monotonic()
        if begun is not None and time.monotonic() - begun >= seconds:
            return
        if begun is None and time.monotonic() > deadline:
            break
    raise BenchmarkFailed(f"the run on the image did not measure for {seconds:.1f} s")


class Written(NamedTuple):
    """When the events and samples of a run were written, in seconds, and how many lines were torn."""

    events: list[float]
    samples: list[float]
    torn: int


def _read(inner: Path) -> Written:
    """What the newest run holds, as far as it can be read."""
    runs = sorted((inner / "outputs" / "runs").glob("*")) if (inner / "outputs" / "runs").is_dir() else []
    if not runs:
        return Written([], [], 0)
    journal, path = runs[-1] / "events.jsonl", runs[-1] / "samples.bin"
    events, torn = read_journal(journal) if journal.exists() else ([], 0)
    samples = []
    with contextlib.suppress(StoreLost, OSError, ValueError):  # not even the header was on the disk
        samples = [record.time_ns / 1e9 for record in read_records(path)]
    return Written([epoch(event["time"]) for event in events if event.get("event") == TICK], samples, torn)


def _must(*command: str) -> None:
    """Runs a command of the system.

    Raises:
        BenchmarkFailed: it failed.
    """
    if output_of(command, timeout_s=30.0) is None:
        raise BenchmarkFailed(f"{' '.join(command)} failed")


if __name__ == "__main__":
    os.write(1, json.dumps(cut(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))).encode())
