"""What a log still holds after whatever happened to it: the exact records from the first to the first bad one.

A writer that was killed, or whose machine lost power, can leave one thing behind: a last frame that was never
acknowledged, of which the file or some of the disk's sectors hold nothing. That is a torn tail. It is dropped, and
told. Anything else that is wrong is damage: strict reading raises at its first byte; lenient reading counts it, finds
the next valid frame and goes on from there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from harness.errors import BenchmarkFailed
from harness.journal.frames import (
    ALIGNMENT,
    FRAME_BYTES,
    HEADER_BYTES,
    SECTOR_BYTES,
    Flaw,
    Frame,
    SegmentHeader,
    payload_of,
    seed_of,
    segment_name,
    segment_number,
    unpack_frame,
    unpack_header,
)


class LogDamaged(BenchmarkFailed):
    """A log holds a bad record that no kill and no power cut explains."""

    def __init__(self, folder: Path, flaw: Flaw) -> None:
        super().__init__(
            f"the log {folder} is damaged: {flaw}",
            "keep a copy of it; reading it leniently counts what is bad and goes on after it",
        )
        self.folder, self.flaw = folder, flaw

    def __reduce__(self) -> tuple[type["LogDamaged"], tuple[Path, Flaw]]:
        return type(self), (self.folder, self.flaw)


class Record(NamedTuple):
    """One record as it was appended."""

    sequence: int
    kind: int
    payload: bytes


@dataclass
class Recovery:
    """The records of a log, what was wrong with it, and where writing may go on.

    `torn` are tails that were never acknowledged, `flaws` are damage; strict reading gives none of the latter.
    """

    records: list[Record] = field(default_factory=list)
    torn: list[Flaw] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    next_sequence: int = 1
    segment: int = 0  # the last one, 0 where there is none
    end: int = 0  # the offset behind its last record
    size: int = 0
    appendable: bool = False  # whether the last segment can take more records at `end`


def recover(folder: Path, *, strict: bool = True) -> Recovery:
    """Reads all segments of a log.

    Raises:
        LogDamaged: strict, and something other than a torn tail is wrong.
        OSError: a file cannot be read.
    """
    reading = _Reading(folder, strict)
    for number in segments_of(folder):
        reading.segment(number)
    return reading.found


def segments_of(folder: Path) -> list[int]:
    """The numbers of a log's segments, in order."""
    numbers = (segment_number(path.name) for path in folder.iterdir())
    return sorted(number for number in numbers if number is not None)


class _Reading:
    def __init__(self, folder: Path, strict: bool) -> None:
        self._folder, self._strict = folder, strict
        self.found = Recovery()
        self._tail: Flaw | None = None  # why reading of the segment before ended early

    def _flaw(self, flaw: Flaw) -> None:
        if self._strict:
            raise LogDamaged(self._folder, flaw)
        self.found.flaws.append(flaw)

    def segment(self, number: int) -> None:
        found, name = self.found, segment_name(number)
        content = (self._folder / name).read_bytes()
        header = unpack_header(content, number)
        before = len(found.flaws), len(found.torn)
        if isinstance(header, str):
            self._flaw(Flaw(name, 0, header))
            header = SegmentHeader(number, len(content), found.next_sequence)
        else:
            self._join(header, name)
        self._frames(content, header, name)
        found.segment, found.size = number, header.size
        found.appendable = (len(found.flaws), len(found.torn)) == before

    def _join(self, header: SegmentHeader, name: str) -> None:
        """Checks that the segment begins where the one before ended; if not, records between them are gone."""
        found = self.found
        if header.number != found.segment + 1:
            self._flaw(Flaw(segment_name(found.segment + 1), 0, "the file is missing"))
        elif header.first_sequence != found.next_sequence:
            gap = f"record {header.first_sequence} begins it, {found.next_sequence} should"
            self._flaw(self._tail or Flaw(name, 0, gap))
        found.next_sequence = max(found.next_sequence, header.first_sequence)

    def _frames(self, content: bytes, header: SegmentHeader, name: str) -> None:
        found, seed, at = self.found, seed_of(header.number), HEADER_BYTES
        self._tail = None
        while True:
            at = self._run(content, at, seed)
            found.end = at
            if not any(content[at : at + FRAME_BYTES]) and not content[at:].strip(b"\0"):
                break
            later = next(_valid_after(content, at, seed, found.next_sequence), None)
            torn = later is None and _is_torn(content, at, header, seed, found.next_sequence)
            flaw = Flaw(name, at, _reason(content, at, seed, found.next_sequence))
            if torn:
                self._note_torn(flaw)
                return
            self._flaw(flaw)
            if later is None:
                self._tail = flaw
                return
            at = later
            found.next_sequence = _frame_at(content, at, seed).sequence
        if len(content) < header.size:
            self._note_torn(Flaw(name, len(content), f"the file ends here, {header.size} bytes were reserved"))

    def _note_torn(self, flaw: Flaw) -> None:
        self.found.torn.append(flaw)
        self._tail = flaw

    def _run(self, content: bytes, at: int, seed: int) -> int:
        """Takes valid records in their order, and gives the offset behind the last."""
        found = self.found
        while True:
            frame = unpack_frame(content, at, seed)
            if frame is None or frame.sequence != found.next_sequence:
                return at
            payload = payload_of(content, at, frame, seed)
            if payload is None:
                return at
            found.records.append(Record(frame.sequence, frame.kind, payload))
            found.next_sequence += 1
            at += frame.bytes


def _frame_at(content: bytes, at: int, seed: int) -> Frame:
    frame = unpack_frame(content, at, seed)
    assert frame is not None
    return frame


def _valid_after(content: bytes, at: int, seed: int, least_sequence: int) -> Iterator[int]:
    """The offsets of whole valid frames from here on that are not of an earlier time."""
    for offset in range(at, len(content) - FRAME_BYTES + 1, ALIGNMENT):
        if content[offset : offset + 4] == b"\0\0\0\0":
            continue
        frame = unpack_frame(content, offset, seed)
        if frame and frame.sequence >= least_sequence and payload_of(content, offset, frame, seed) is not None:
            yield offset


def _is_torn(content: bytes, at: int, header: SegmentHeader, seed: int, expected: int) -> bool:
    """Whether the bad frame can be one that was never wholly written: the file or a sector of it holds nothing."""
    if len(content) - at < FRAME_BYTES:
        return len(content) < header.size
    frame = unpack_frame(content, at, seed)
    if frame is None:
        return _has_empty_piece(content, at, at + FRAME_BYTES)
    if frame.sequence != expected or at + frame.bytes > header.size:
        return False
    return at + frame.bytes > len(content) or _has_empty_piece(content, at, at + frame.bytes)


def _has_empty_piece(content: bytes, start: int, end: int) -> bool:
    """Whether a sector's part of a range is all zeros, as it was reserved.

    (A payload that has such a part itself is taken for torn when the last record of a log is damaged; it is told too.)
    """
    borders = [start, *range((start // SECTOR_BYTES + 1) * SECTOR_BYTES, end, SECTOR_BYTES), end]
    return any(not any(content[low:high]) for low, high in pairwise(borders))


def _reason(content: bytes, at: int, seed: int, expected: int) -> str:
    frame = unpack_frame(content, at, seed)
    if frame is None:
        left = len(content) - at
        if left < FRAME_BYTES:
            return f"record {expected} ends after {left} bytes"
        return f"the checksum of the head of record {expected} does not match"
    if frame.sequence != expected:
        return f"record {frame.sequence} stands where {expected} should"
    if at + frame.bytes > len(content):
        return f"record {expected} ends after {len(content) - at} of {frame.bytes} bytes"
    return f"the checksum of record {expected} does not match"
