"""A write-ahead log that is torn and damaged again and again while it is used: nothing else may ever be lost."""

import os
import random
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from harness.errors import BenchmarkFailed
from harness.journal.frames import FRAME_BYTES, Flaw
from harness.journal.log import Log
from harness.journal.recovery import LogDamaged, Recovery, recover
from harness.ranges import Range
from harness.runner import Context


class WalSoak:
    """One iteration opens two logs, appends to both, ends them, harms them and reads them again.

    The one is read strictly: its last record is cut off every so often, as a killed writer leaves it. The other is read
    leniently: bits of its records are flipped. Both grow over all iterations, and all their records are compared with
    what was acknowledged.
    """

    def __init__(
        self,
        *,
        records: Annotated[int, Range(min=2)],
        payload_bytes: Annotated[int, Range(min=32, max=1 << 16)],
        segment_kb: Annotated[int, Range(min=1)],
        cut_every: Annotated[int, Range(min=1)],
        flip_every: Annotated[int, Range(min=1)],
    ) -> None:
        self._records, self._payload_bytes, self._segment_bytes = records, payload_bytes, segment_kb << 10
        self._cut_every, self._flip_every = cut_every, flip_every
        if payload_bytes > self._segment_bytes // 2:
            raise ValueError(
                f"segment_kb should have room for two records of {payload_bytes} bytes. Found {segment_kb}."
            )
        self._folder: Path | None = None

    def setup(self, context: Context) -> None:
        """Two empty logs beside the run's files."""
        self._folder = Path(tempfile.mkdtemp(prefix="wal-", dir=context.folder))
        source = random.Random(context.seed)
        how = {"records": self._records, "payload_bytes": self._payload_bytes, "segment_bytes": self._segment_bytes}
        self._torn = Soaked(self._folder / "torn", source, strict=True, **how)
        self._damaged = Soaked(self._folder / "damaged", source, strict=False, **how)
        self._iterations = 0

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Uses both logs, harms them where it is time, and compares all their records with the acknowledged ones."""
        self._iterations += 1
        appended_us = self._torn.use() + self._damaged.use()
        for microseconds in appended_us:
            context.record("wal.append_us", microseconds)
        if self._iterations % self._cut_every == 0:
            self._torn.cut()
        if self._iterations % self._flip_every == 0:
            self._damaged.flip()
        started = time.perf_counter_ns()
        torn, damaged = self._torn.compare(), self._damaged.compare()
        recovery_ms = (time.perf_counter_ns() - started) / 1e6
        refused = self._damaged.refusal()
        self._tell(context, torn, damaged, refused)
        both = [torn, damaged]
        return {
            "wal.recovery_ms": recovery_ms,
            "wal.appended_total": len(appended_us),
            "wal.torn_total": len(torn.new_torn),
            "wal.flaws_total": len(damaged.new_flaws),
            "wal.refused_total": int(refused is not None),
            "wal.lost_total": sum(one.lost for one in both),
            "wal.unexpected_total": sum(one.unexpected for one in both) + (bool(refused) != self._damaged.is_damaged),
        }

    def _tell(self, context: Context, torn: "Compared", damaged: "Compared", refused: LogDamaged | None) -> None:
        for flaw in torn.new_torn:
            context.event("wal.torn_tail", level="warning", file=flaw.file, offset=flaw.offset, reason=flaw.reason)
        for flaw in damaged.new_flaws:
            context.event(
                "wal.damaged",
                level="critical",
                file=flaw.file,
                offset=flaw.offset,
                reason=flaw.reason,
                strict_refused_at=str(refused.flaw) if refused else None,
            )

    def teardown(self) -> None:
        """Removes the logs."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class Compared:
    """A reading held against what was acknowledged and not harmed on purpose."""

    def __init__(self, found: Recovery, expected: list[bytes], known: set[Flaw]) -> None:
        """`known` are the flaws of readings before."""
        self.new_torn = [flaw for flaw in found.torn if flaw not in known]
        self.new_flaws = [flaw for flaw in found.flaws if flaw not in known]
        payloads = [record.payload for record in found.records]
        self.lost = len(set(expected) - set(payloads))
        self.unexpected = len(set(payloads) - set(expected)) + (self.lost == 0 and payloads != expected)


class Soaked:
    """One log and the payloads that it must hold."""

    def __init__(
        self, folder: Path, source: random.Random, *, strict: bool, records: int, payload_bytes: int, segment_bytes: int
    ) -> None:
        self._folder, self._source, self._strict = folder, source, strict
        self._records, self._payload_bytes, self._segment_bytes = records, payload_bytes, segment_bytes
        self._expected: list[bytes] = []
        self._known: set[Flaw] = set()
        self.is_damaged = False

    def use(self) -> list[float]:
        """Opens the log as a new process does, appends, closes; gives the microseconds of each append."""
        log = Log(self._folder, segment_bytes=self._segment_bytes, strict=self._strict)
        times = []
        try:
            for _ in range(self._records):
                payload = self._source.randbytes(self._payload_bytes)
                started = time.perf_counter_ns()
                log.append(1, payload)
                times.append((time.perf_counter_ns() - started) / 1e3)
                self._expected.append(payload)
        finally:
            log.close()
        return times

    def cut(self) -> None:
        """Cuts the file within its last record, anywhere between the record's first byte and its last."""
        path, content, at = self._find(self._expected.pop())
        os.truncate(path, at + self._source.randrange(1, FRAME_BYTES + self._payload_bytes))
        if len(content) <= at + FRAME_BYTES:
            raise BenchmarkFailed("the last record was not where it should be")

    def flip(self) -> None:
        """Flips one bit of a record chosen by chance."""
        path, content, at = self._find(self._expected.pop(self._source.randrange(len(self._expected))))
        bit = at * 8 + self._source.randrange((FRAME_BYTES + self._payload_bytes) * 8)
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        self.is_damaged = True

    def _find(self, payload: bytes) -> tuple[Path, bytes, int]:
        """The file of a record, its content, and the offset at which the record begins."""
        for path in sorted(self._folder.glob("*.log"), reverse=True):
            content = path.read_bytes()
            at = content.find(payload)
            if at >= 0:
                return path, content, at - FRAME_BYTES
        raise BenchmarkFailed("an acknowledged record is in no file of the log")

    def compare(self) -> Compared:
        """Reads the log as its kind is read, and counts what is new since the last time."""
        found = recover(self._folder, strict=self._strict)
        compared = Compared(found, self._expected, self._known)
        self._known |= {*found.torn, *found.flaws}
        return compared

    def refusal(self) -> LogDamaged | None:
        """What strict reading says, None where it finds nothing wrong."""
        try:
            recover(self._folder)
        except LogDamaged as error:
            return error
        return None
