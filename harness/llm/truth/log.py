"""The truth server's log: a header of 64 bytes, then a record of 40 bytes for each request and each write.

All times are nanoseconds of the monotonic clock, which every process of a host shares. A write lies between
`before_ns`, read just before the call that sends, and `after_ns`, read when it has returned; its record is there before
the data is, so the last one may still be without the second time, for which the first then stands.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

HEADER = struct.Struct("<8sQQQIIq16x")
RECORD = struct.Struct("<IIiIqqq")
MAGIC = b"TRUTH01\0"
REQUEST, PIECE, END = 1, 2, 3
STAMPED, REALTIME_PRIORITY, INTERPRETED = 1, 2, 4
NO_KEY = 0xFFFFFFFF


class Sent(NamedTuple):
    """One write: from which token on, when it was due, and between which times it happened."""

    token: int
    due_ns: int
    before_ns: int
    after_ns: int

    @property
    def late_ns(self) -> int:
        """How late the server itself was."""
        return self.before_ns - self.due_ns


@dataclass
class Stream:
    """What the server did for one request."""

    key: int  # the field truth_key of the request; NO_KEY without one
    arrived_ns: int  # by the kernel's stamp where there is one
    read_ns: int
    tokens: int  # asked for
    sent: list[Sent] = field(default_factory=list)
    end: Sent | None = None  # the write behind the last token, where it was a write of its own

    @property
    def ttft_ns(self) -> int:
        """From the arrival of the request to the first write with a token."""
        return self.sent[0].before_ns - self.arrived_ns

    @property
    def last_ns(self) -> int:
        """When the last write began."""
        return (self.end or self.sent[-1]).before_ns


@dataclass(frozen=True)
class Truth:
    """The log, read."""

    streams: Mapping[int, Stream]  # by the server's own number
    dropped: int  # records for which there was no room
    stamped: bool  # whether requests arrived by the kernel's stamp
    realtime: bool  # whether the server ran with a real-time priority
    interpreted: bool  # whether it was the Python server

    def by_key(self) -> dict[int, Stream]:
        """The streams by their truth_key; of several with one key the last."""
        return {stream.key: stream for stream in self.streams.values() if stream.key != NO_KEY}


def read_log(path: Path) -> Truth:
    """Everything that the server has logged so far.

    Raises:
        ValueError: it is no such log.
    """
    data = path.read_bytes()
    if len(data) < HEADER.size:
        raise ValueError(f"{path} is no log of a truth server: it holds {len(data)} bytes")
    magic, count, _, dropped, flags, _, _ = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ValueError(f"{path} is no log of a truth server: it begins with {magic!r}")
    streams: dict[int, Stream] = {}
    for at in range(count):
        kind, number, token, key, due, before, after = RECORD.unpack_from(data, HEADER.size + at * RECORD.size)
        if kind == REQUEST:
            streams[number] = Stream(key, due, before, token)
        elif kind == PIECE:
            streams[number].sent.append(Sent(token, due, before, after or before))
        elif kind == END:
            streams[number].end = Sent(token, due, before, after or before)
    said = (bool(flags & bit) for bit in (STAMPED, REALTIME_PRIORITY, INTERPRETED))
    return Truth(streams, dropped, *said)
