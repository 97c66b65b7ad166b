"""The bytes of a log: segments of a fixed size, each with a header, filled with frames.

A segment is a file of its full size from the start, zeros where nothing was written yet. All numbers are little-endian.

    header, 64 bytes   magic "harnLOG\\n", version, segment number, size of the segment, first sequence number,
                       zeros, crc32c of the 60 bytes before
    frame              crc32c of the next 20 bytes; crc32c of payload and padding; length of the payload; kind;
                       sequence number; the payload; zeros up to a multiple of 8

Both sums of a frame start from one of the segment's number, so a frame is valid in its own segment only. crc32c finds
every error of up to three bits in a frame below 256 MB, and every burst of up to 32 bits.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import google_crc32c

MAGIC = b"harnLOG\n"
VERSION = 1
HEADER_BYTES = 64
FRAME_BYTES = 24
SECTOR_BYTES = 512  # what a disk writes as a whole
ALIGNMENT = 8

extend: Callable[[int, bytes], int] = google_crc32c.extend  # continues a sum with more bytes

_HEADER = struct.Struct("<8sIIQQ28xI")
_FIELDS = struct.Struct("<IIIIQ")
_AFTER_SUM = struct.Struct("<IIIQ")
_SUM = struct.Struct("<I")
_NAME = re.compile(r"(\d{8})\.log")


class SegmentHeader(NamedTuple):
    """What a segment says about itself."""

    number: int
    size: int
    first_sequence: int


class Frame(NamedTuple):
    """The fields of a frame whose header is intact."""

    payload_sum: int
    length: int
    kind: int
    sequence: int

    @property
    def bytes(self) -> int:
        """The frame's size in the log, padding included."""
        return frame_bytes(self.length)


@dataclass(frozen=True)
class Flaw:
    """Something in a log that is not as it was written: the file, the byte, what is wrong."""

    file: str
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, byte {self.offset}: {self.reason}"


def segment_name(number: int) -> str:
    """The file name of a segment; names sort as numbers do."""
    return f"{number:08d}.log"


def segment_number(name: str) -> int | None:
    """The number in a segment's file name, None for other files."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else None


def frame_bytes(length: int) -> int:
    """How much of a log a payload of this length takes."""
    return FRAME_BYTES + -(-length // ALIGNMENT) * ALIGNMENT


def seed_of(number: int) -> int:
    """The sum that the sums of a segment's frames start from."""
    return extend(0, MAGIC + number.to_bytes(4, "little"))


def pack_header(header: SegmentHeader) -> bytes:
    """The first bytes of a segment."""
    content = _HEADER.pack(MAGIC, VERSION, header.number, header.size, header.first_sequence, 0)
    return content[:-4] + _SUM.pack(extend(0, content[:-4]))


def unpack_header(content: bytes, number: int) -> SegmentHeader | str:
    """The header of the segment with this number, or what is wrong with it."""
    if len(content) < HEADER_BYTES:
        return f"the header ends after {len(content)} of {HEADER_BYTES} bytes"
    magic, version, found, size, first_sequence, header_sum = _HEADER.unpack_from(content)
    if magic != MAGIC:
        return f"this is no segment of a log: it starts with {magic!r}"
    if header_sum != extend(0, content[: HEADER_BYTES - 4]):
        return "the checksum of the header does not match"
    if version != VERSION:
        return f"the format has version {version}, this program reads version {VERSION}"
    if found != number:
        return f"the header is that of segment {found}"
    return SegmentHeader(number, size, first_sequence)


def pack_frame(seed: int, sequence: int, kind: int, payload: bytes) -> bytes:
    """A frame ready to be written."""
    body = payload + bytes(-len(payload) % ALIGNMENT)
    fields = _AFTER_SUM.pack(extend(seed, body), len(payload), kind, sequence)
    return _SUM.pack(extend(seed, fields)) + fields + body


def unpack_frame(content: bytes, at: int, seed: int) -> Frame | None:
    """The frame that starts at an offset, None where its header is not intact; its payload is not looked at."""
    if at + FRAME_BYTES > len(content):
        return None
    header_sum, *fields = _FIELDS.unpack_from(content, at)
    if header_sum != extend(seed, content[at + 4 : at + FRAME_BYTES]):
        return None
    return Frame(*fields)


def payload_of(content: bytes, at: int, frame: Frame, seed: int) -> bytes | None:
    """The payload of a frame with an intact header, None where it is cut or its checksum does not match."""
    body = content[at + FRAME_BYTES : at + frame.bytes]
    if len(body) != frame.bytes - FRAME_BYTES or frame.payload_sum != extend(seed, body):
        return None
    return body[: frame.length]
