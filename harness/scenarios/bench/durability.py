"""What is left of acknowledged records after kill -9 of the writer, and after the power is cut."""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from harness.errors import BenchmarkFailed, Cancelled
from harness.process import reap
from harness.process.children import Child
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.bench import acknowledging, power_cut

_ENOUGH = 2000  # acknowledgements within which a writer is killed: several runs


class Durability:
    """One iteration kills so many writers; each at a counted acknowledgement. The first also cuts the power."""

    def __init__(
        self,
        *,
        kills: Annotated[int, Range(min=1)],
        power_cuts: Annotated[int, Range(min=0)],
        image_mb: Annotated[int, Range(min=32)],
        seconds: Annotated[float, Range(min=2)],
    ) -> None:
        self._kills, self._power_cuts, self._image_mb, self._seconds = kills, power_cuts, image_mb, seconds
        self._folder: Path | None = None
        self._cut = False

    def setup(self, context: Context) -> None:
        """A folder for the writers; and whether the power can be cut here."""
        self._folder = context.folder / "durability"
        self._folder.mkdir()
        self._random = random.Random(context.seed)
        reason = power_cut.unavailable() if self._power_cuts else "scenario.power_cuts is 0"
        self._can_cut = reason is None
        if reason is not None:
            context.event("bench.durability.power_cut_skipped", level="warning", reason=reason)

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Kills writers, and holds what is left against what they were told is kept."""
        lost = acknowledged = 0
        for number in range(self._kills):
            if context.cancelled:
                raise Cancelled
            missing, said = self._kill_one(number)
            lost, acknowledged = lost + missing, acknowledged + said
        if self._can_cut and not self._cut and context.phase.name == "MEASURE":
            self._cut = True
            self._cut_power(context)
        return {
            "bench.durability.lost": lost,
            "bench.durability.acknowledged_total": acknowledged,
            "bench.durability.kills_total": self._kills,
        }

    def _kill_one(self, number: int) -> tuple[int, int]:
        """How many acknowledged records are missing after one writer was killed, and how many there were."""
        assert self._folder is not None
        folder = self._folder / str(number)
        folder.mkdir()
        said = self._said_until_killed(folder, self._random.randint(1, _ENOUGH))
        counts = acknowledging.counted(said)
        missing = acknowledging.lost(folder, counts)
        shutil.rmtree(folder)
        return missing, sum(counts.values())

    def _said_until_killed(self, folder: Path, lines: int) -> bytes:
        """What the writer said up to its end, which comes soon after so many lines, wherever it then is."""
        ours, theirs = os.pipe()
        errors = folder / "stderr.txt"
        with contextlib.closing(os.fdopen(ours, "rb", buffering=0)) as pipe:
            try:
                writer = _start([acknowledging.__name__, str(folder)], theirs, errors)
            finally:
                os.close(theirs)
            said = bytearray()
            try:
                while said.count(b"\n") < lines and (block := pipe.read(65536)):
                    said += block
            finally:
                reap.kill(writer.pid, signal.SIGKILL)
            while block := pipe.read(65536):  # what it was told before the kill reached it
                said += block
        code = writer.wait().code
        if code != -signal.SIGKILL:
            raise BenchmarkFailed(f"the writer ended by itself: {errors.read_text(errors='replace')[-500:]}")
        return bytes(said)

    def _cut_power(self, context: Context) -> None:
        assert self._folder is not None
        for number in range(self._power_cuts):
            if context.cancelled:
                raise Cancelled
            found = self._one_cut(self._folder / f"cut-{number}")
            context.event("bench.durability.power_cut", **found)
            for name in ("events", "samples"):
                context.record(f"bench.durability.{name}_lost_s", found[f"{name}_lost_s"])
            context.record("bench.durability.power_cut_s", max(found["events_lost_s"], found["samples_lost_s"]))

    def _one_cut(self, folder: Path) -> dict[str, float]:
        """One run on a file system of its own, of which the disk is looked at as a power cut would leave it."""
        folder.mkdir()
        out, errors = folder / "found.json", folder / "stderr.txt"
        words = [power_cut.__name__, str(folder), str(self._image_mb), str(self._seconds + self._random.random())]
        with out.open("wb") as stdout:
            child = _start(words, stdout.fileno(), errors, power_cut.NAMESPACE)
            finished = child.wait()
        if finished.code != 0:
            raise BenchmarkFailed(f"the power could not be cut: {errors.read_text(errors='replace')[-1000:]}")
        found: dict[str, float] = json.loads(out.read_bytes())
        shutil.rmtree(folder)
        return found

    def teardown(self) -> None:
        """Removes what was written."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _start(words: list[str], stdout: int, errors: Path, before: tuple[str, ...] = ()) -> Child:
    """A program of this folder in an interpreter of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with errors.open("wb") as stderr:
        return Child(
            [*before, sys.executable, "-m", *words], environment=environment, stdout=stdout, stderr=stderr.fileno()
        )
