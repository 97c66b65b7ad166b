"""The sample file: fixed-size records in preallocated shared memory, so that a kill of either side loses nothing.

Layout, little-endian 64-bit words. A header page holds the words named in `Word`; then `NAMES_BYTES` of metric names,
one a line, whose position is the metric's id; then the records of three words each: the tag
`id | flags << 16 | iteration << 32`, the monotonic time in nanoseconds, the value as a double. The end is moved after
the record is written, so a reader that stops there never sees half a record.
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
TOLD_KEPT = 128  # events whose iteration is known, should they get lost on their way
RECORD_BYTES = 24
_RECORDS_AT = HEADER_BYTES + NAMES_BYTES
_FIRST_WORD = _RECORDS_AT // 8


class Word(IntEnum):
    """Index of each header word."""

    MAGIC = 0
    LIMIT = 1  # index of the word behind the last one that there is room for
    END = 2  # index of the word behind the last record
    NAMES_USED = 3
    CANCEL = 4
    PHASE = 5
    COMPLETED = 6
    KEPT = 7  # measured iterations that were taken over from the run that this one goes on from
    TOLD = 8  # events that the worker has sent, so that a reader can say whether the journal holds them all
    OUTCOME = 9  # the first of the slots that hold `iteration + 1` and the running hash after it; see outcome.py
    TOLD_IN = 336  # the first of TOLD_KEPT words, used in turn: the measured iteration that sent the event, plus 1


class Flag(IntFlag):
    """What a record is: a sample, a bound of the interval of the sample before it, the mark of a failed iteration."""

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


# Plain integers: an IntEnum member costs three times as much as an index.
_MAGIC, _LIMIT, _END, _CANCEL = int(Word.MAGIC), int(Word.LIMIT), int(Word.END), int(Word.CANCEL)
_PHASE, _COMPLETED, _NAMES_USED = int(Word.PHASE), int(Word.COMPLETED), int(Word.NAMES_USED)
_KEPT, _WARMUP, _MEASURE = int(Word.KEPT), int(Phase.WARMUP), int(Phase.MEASURE)
_TOLD, _TOLD_IN = int(Word.TOLD), int(Word.TOLD_IN)


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
            self.words[_LIMIT] = _FIRST_WORD + 3 * capacity
            self.words[_END] = _FIRST_WORD
            self.words[_MAGIC] = MAGIC
        self.cursor = self.words[_END]
        self._ids: dict[str, int] = {name: i for i, name in enumerate(self.names())}

    def _map(self) -> None:
        """Maps the whole file; an older mapping stays valid for as long as someone holds a view of it."""
        self._memory = mmap.mmap(self._descriptor, 0)
        view = memoryview(self._memory)
        self.words = view.cast("q")
        self.doubles = view.cast("d")

    @property
    def count(self) -> int:
        """How many records were acknowledged so far, by whichever process writes."""
        return (self.words[_END] - _FIRST_WORD) // 3

    @property
    def completed(self) -> int:
        """How many iterations of the present phase came to an end."""
        return self.words[_COMPLETED]

    @property
    def phase(self) -> Phase:
        """What the worker is doing."""
        return Phase(self.words[_PHASE])

    def enter(self, phase: Phase) -> None:
        """Says what the worker does from now on; outside the warm-up, `completed` counts measured iterations."""
        words = self.words  # the count comes first: a kill in between must not make warm-up look measured
        if phase == _WARMUP:
            words[_COMPLETED] = 0
        elif phase == _MEASURE or words[_PHASE] == _WARMUP:
            words[_COMPLETED] = words[_KEPT]
        words[_PHASE] = int(phase)

    @property
    def cancelled(self) -> bool:
        """Whether the run is to end."""
        return bool(self.words[_CANCEL])

    def cancel(self) -> None:
        """Asks the worker to end; it looks before every iteration."""
        self.words[_CANCEL] = 1

    def names(self) -> list[str]:
        """The metric names registered so far; a name's position is its id."""
        used = self.words[_NAMES_USED]
        return self._memory[HEADER_BYTES : HEADER_BYTES + used].decode().splitlines()

    def id_of(self, name: str) -> int:
        """The id of a metric, registered at first use."""
        known = self._ids.get(name)
        if known is not None:
            return known
        line = f"{name}\n".encode()
        used = self.words[_NAMES_USED]
        if used + len(line) > NAMES_BYTES:
            raise StoreLost(f"more metric names than fit into {NAMES_BYTES} bytes, at {name!r}")
        self._memory[HEADER_BYTES + used : HEADER_BYTES + used + len(line)] = line
        self.words[_NAMES_USED] = used + len(line)
        self._ids[name] = len(self._ids)
        return self._ids[name]

    def add(self, tag: int, time_ns: int, value: float) -> None:
        """Appends a record; `tag` is `id | flags << 16 | iteration << 32`. No system call unless the file is full."""
        at = self.cursor
        if at >= len(self.words) - 2:
            self._grow(1)
        words = self.words
        words[at] = tag
        words[at + 1] = time_ns
        self.doubles[at + 2] = value
        self.cursor = words[_END] = at + 3

    def ensure(self, room: int) -> int:
        """Makes room for `room` more records, and gives the cursor position up to which that stays true.

        Called between iterations, so that no growth falls into a timed section.

        Raises:
            StoreLost: the disk has no room.
        """
        if self.cursor + 3 * room > len(self.words):
            self._grow(room)
        return len(self.words) - 3 * room

    def tell(self, count: int = 1) -> None:
        """Counts an event that is about to be sent; with -1 one that was not sent after all."""
        words, told = self.words, self.words[_TOLD]
        if count > 0:
            words[_TOLD_IN + told % TOLD_KEPT] = words[_COMPLETED] + 1 if words[_PHASE] == _MEASURE else 0
        words[_TOLD] = told + count

    def told_in(self, event: int) -> int | None:
        """The measured iteration in which the event of this number was sent, -1 outside of them, None if unknown."""
        known = 0 <= self.words[_TOLD] - event <= TOLD_KEPT
        return self.words[_TOLD_IN + event % TOLD_KEPT] - 1 if known else None

    def rewind(self) -> None:
        """Forgets all records; for a file that is used again and again."""
        self.cursor = self.words[_END] = _FIRST_WORD

    def _grow(self, room: int) -> None:
        """Enlarges the file by at least `room` records, at least doubling it."""
        present = (self.cursor - _FIRST_WORD) // 3
        capacity = max(present + room, 2 * present)
        try:
            _reserve(self._descriptor, _RECORDS_AT + capacity * RECORD_BYTES)
        except OSError as error:
            raise StoreLost(f"no room for more samples in {self.path}: {error.strerror}", "free disk space") from error
        self._map()
        self.words[_LIMIT] = _FIRST_WORD + 3 * capacity

    def close(self) -> None:
        """Releases the mapping; the file stays as it is."""
        self.words.release()
        self.doubles.release()
        self._memory.close()
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


Row = tuple[int, int, float]  # tag, time in nanoseconds, value
_BOUND = int(Flag.LOW | Flag.HIGH)


def _rows(path: Path) -> tuple[list[str], list[Row]]:
    """The metric names and the records of a file, as they stand in it.

    Raises:
        StoreLost: the file is no sample file, or shorter than its header says.
    """
    from array import array

    content = path.read_bytes()
    words = array("q", content[: len(content) // 8 * 8])
    if len(words) < _FIRST_WORD or words[Word.MAGIC] != MAGIC:
        raise StoreLost(f"{path} is not a sample file")
    end = words[Word.END]
    if not _FIRST_WORD <= end <= len(words):
        raise StoreLost(f"{path} holds fewer records than its header says")
    names = content[HEADER_BYTES : HEADER_BYTES + words[Word.NAMES_USED]].decode().splitlines()
    doubles = array("d", words.tobytes())
    columns = (words[_FIRST_WORD:end:3], words[_FIRST_WORD + 1 : end : 3], doubles[_FIRST_WORD + 2 : end : 3])
    return names, list(zip(*columns, strict=True))


def _sample(names: list[str], row: Row) -> Sample:
    tag, time_ns, value = row
    return Sample(names[tag & 0xFFFF], tag >> 32, time_ns, value, Flag(tag >> 16 & 0xFFFF))


def read_records(path: Path) -> Iterator[Sample]:
    """Every acknowledged record of the file, warm-up included, oldest first.

    Raises:
        StoreLost: the file is no sample file, or shorter than its header says.
    """
    names, rows = _rows(path)
    return (_sample(names, row) for row in rows)


@dataclass
class Measured:
    """What the file says about measured iterations: samples by metric, failures, and values that are no numbers."""

    series: dict[str, Series]
    failed: set[int]
    not_finite: list[Sample]


def read_measured(path: Path) -> Measured:
    """The samples of all measured iterations that did not fail, by metric.

    A NaN or infinity is no sample: its iteration counts as failed too, and it is listed, never silently dropped.
    """
    names, rows = _rows(path)
    measured = [row for row in rows if not row[0] >> 16 & Flag.WARMUP]
    not_finite = [_sample(names, row) for row in measured if not math.isfinite(row[2])]
    failed = {tag >> 32 for tag, _, _ in measured if tag >> 16 & Flag.FAILED}
    failed |= {sample.iteration for sample in not_finite}
    found: dict[str, Series] = {}
    for tag, _, value in measured:
        iteration = tag >> 32
        if iteration in failed:
            continue
        name = names[tag & 0xFFFF]
        series = found.get(name)
        if series is None:
            series = found[name] = Series([], [], [], [])
        flag = tag >> 16 & 0xFFFF
        if flag & _BOUND:
            bounds = series.lows if flag & Flag.LOW else series.highs
            bounds[-1] = value
        else:
            series.values.append(value)
            series.iterations.append(iteration)
            series.lows.append(None)
            series.highs.append(None)
    return Measured(found, failed, not_finite)


def trim(path: Path) -> None:
    """Gives back the room that a finished run did not use."""
    with path.open("r+b") as file:
        header = memoryview(file.read(HEADER_BYTES)).cast("q")
        file.truncate(8 * header[Word.END])
