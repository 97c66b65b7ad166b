"""The sample file: fixed-size records in preallocated shared memory, so that a kill of either side loses nothing.

Layout, little-endian 64-bit words. A header page holds the words named in `Word`; then `NAMES_BYTES` of metric names, one a
line, whose position is the metric's id; then the records of three words each: `id | flags << 16 | iteration << 32`, the
monotonic time in nanoseconds, the value as a double. The count is raised after the record is written, so a reader that
stops at the count never sees half a record.
"""

import math
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path

from harness.errors import StoreLost

MAGIC = 0x31_504D_4153_5248  # "HRSAMP1" read as a little-endian word
HEADER_BYTES = 4096
NAMES_BYTES = 61440
RECORD_BYTES = 24
_RECORDS_AT = HEADER_BYTES + NAMES_BYTES
_FIRST_WORD = _RECORDS_AT // 8


class Word(IntEnum):
    """Index of each header word."""

    MAGIC = 0
    CAPACITY = 1
    COUNT = 2
    NAMES_USED = 3
    CANCEL = 4
    PHASE = 5
    ITERATION = 6
    COMPLETED = 7
    FAILED = 8
    HEARTBEAT_NS = 9


class Flag(IntFlag):
    """What a record is: a sample, the bound of the interval of the sample before it, or the mark of a failed iteration."""

    SAMPLE = 0
    WARMUP = 1
    LOW = 2
    HIGH = 4
    FAILED = 8


class Phase(IntEnum):
    """What the worker is doing, as the supervisor sees it in the header."""

    STARTING = 0
    SETUP = 1
    WARMUP = 2
    MEASURE = 3
    TEARDOWN = 4
    DONE = 5


def _reserve(descriptor: int, size: int) -> None:
    """Makes the file `size` bytes long with blocks behind it: a hole would be SIGBUS on a full disk."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    present = os.fstat(descriptor).st_size
    os.lseek(descriptor, present, os.SEEK_SET)
    os.write(descriptor, b"\0" * (size - present))


class SampleFile:
    """The one writer's view of the sample file; the supervisor opens it too, for the header."""

    def __init__(self, path: Path, *, create: bool = False, capacity: int = 8192) -> None:
        """Opens the file at `path`, or makes it with room for `capacity` records.

        Raises:
            OSError: the folder cannot be written, or the disk has no room for the records.
        """
        self.path = path
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
        self._descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o644)
        if create:
            _reserve(self._descriptor, _RECORDS_AT + capacity * RECORD_BYTES)
        self._map()
        if create:
            self.words[Word.CAPACITY] = capacity
            self.words[Word.MAGIC] = MAGIC
        self._ids: dict[str, int] = {name: i for i, name in enumerate(self.names())}

    def _map(self) -> None:
        self._memory = mmap.mmap(self._descriptor, 0)
        view = memoryview(self._memory)
        self.words = view.cast("q")
        self._doubles = view.cast("d")

    def names(self) -> list[str]:
        """The metric names registered so far; a name's position is its id."""
        used = self.words[Word.NAMES_USED]
        return self._memory[HEADER_BYTES : HEADER_BYTES + used].decode().splitlines()

    def id_of(self, name: str) -> int:
        """The id of a metric, registered at first use."""
        known = self._ids.get(name)
        if known is not None:
            return known
        line = f"{name}\n".encode()
        used = self.words[Word.NAMES_USED]
        if used + len(line) > NAMES_BYTES:
            raise StoreLost(f"more metric names than fit into {NAMES_BYTES} bytes, at {name!r}")
        self._memory[HEADER_BYTES + used : HEADER_BYTES + used + len(line)] = line
        self.words[Word.NAMES_USED] = used + len(line)
        self._ids[name] = len(self._ids)
        return self._ids[name]

    def add(self, tag: int, time_ns: int, value: float) -> None:
        """Appends a record; `tag` is `id | flags << 16 | iteration << 32`. No system call unless the file is full."""
        words = self.words
        count = words[Word.COUNT]
        if count >= words[Word.CAPACITY]:
            self.grow(count + 1)
            words = self.words
        at = _FIRST_WORD + 3 * count
        words[at] = tag
        words[at + 1] = time_ns
        self._doubles[at + 2] = value
        words[Word.COUNT] = count + 1

    def ensure(self, room: int) -> None:
        """Makes room for `room` more records; called between iterations, so that no growth falls into a timed section."""
        needed = self.words[Word.COUNT] + room
        if needed > self.words[Word.CAPACITY]:
            self.grow(needed)

    def grow(self, needed: int) -> None:
        """Enlarges the file to at least `needed` records, at least doubling it."""
        capacity = max(needed, 2 * self.words[Word.CAPACITY])
        try:
            _reserve(self._descriptor, _RECORDS_AT + capacity * RECORD_BYTES)
        except OSError as error:
            raise StoreLost(f"no room for more samples in {self.path}: {error.strerror}", "free disk space") from error
        self._unmap()
        self._map()
        self.words[Word.CAPACITY] = capacity

    def _unmap(self) -> None:
        self.words.release()
        self._doubles.release()
        self._memory.close()

    def close(self) -> None:
        """Releases the mapping; the file stays as it is."""
        self._unmap()
        os.close(self._descriptor)


@dataclass(frozen=True)
class Sample:
    """One record as read back."""

    metric: str
    iteration: int
    time_ns: int
    value: float
    flag: Flag


@dataclass
class Series:
    """All samples of one metric in the order of recording, with the bounds of those that carry an interval."""

    values: list[float]
    lows: list[float | None]
    highs: list[float | None]
    iterations: list[int]

    @property
    def has_intervals(self) -> bool:
        """Whether every sample came with its own interval."""
        return bool(self.values) and all(low is not None for low in self.lows)


def read_records(path: Path) -> Iterator[Sample]:
    """Every acknowledged record of the file, warm-up included, oldest first.

    Raises:
        StoreLost: the file is no sample file, or shorter than its count says.
    """
    from array import array

    content = path.read_bytes()
    words = array("q", content[: len(content) // 8 * 8])
    if len(words) < _FIRST_WORD or words[Word.MAGIC] != MAGIC:
        raise StoreLost(f"{path} is not a sample file")
    count = words[Word.COUNT]
    if _FIRST_WORD + 3 * count > len(words):
        raise StoreLost(f"{path} holds fewer records than its count of {count}")
    names = content[HEADER_BYTES : HEADER_BYTES + words[Word.NAMES_USED]].decode().splitlines()
    doubles = memoryview(content)[: len(words) * 8].cast("d")
    for at in range(_FIRST_WORD, _FIRST_WORD + 3 * count, 3):
        tag = words[at]
        yield Sample(names[tag & 0xFFFF], tag >> 32, words[at + 1], doubles[at + 2], Flag(tag >> 16 & 0xFFFF))


@dataclass
class Measured:
    """What the sample file says about the measured iterations: samples by metric, failures, and values that are no numbers."""

    series: dict[str, Series]
    failed: set[int]
    not_finite: list[Sample]


def read_measured(path: Path) -> Measured:
    """The samples of all measured iterations that did not fail, by metric.

    A NaN or infinity is no sample: its iteration counts as failed too, and it is listed, never silently dropped.
    """
    records = [record for record in read_records(path) if not record.flag & Flag.WARMUP]
    not_finite = [record for record in records if not math.isfinite(record.value)]
    failed = {record.iteration for record in records if record.flag & Flag.FAILED}
    failed |= {record.iteration for record in not_finite}
    found: dict[str, Series] = {}
    for record in records:
        if record.iteration in failed:
            continue
        series = found.setdefault(record.metric, Series([], [], [], []))
        if record.flag & (Flag.LOW | Flag.HIGH):
            bounds = series.lows if record.flag & Flag.LOW else series.highs
            bounds[-1] = record.value
        else:
            series.values.append(record.value)
            series.iterations.append(record.iteration)
            series.lows.append(None)
            series.highs.append(None)
    return Measured(found, failed, not_finite)


def trim(path: Path) -> None:
    """Gives back the room that a finished run did not use."""
    with path.open("r+b") as file:
        header = memoryview(file.read(HEADER_BYTES)).cast("q")
        count = header[Word.COUNT]
        file.truncate(_RECORDS_AT + count * RECORD_BYTES)
