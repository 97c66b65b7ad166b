"""One attempt on its way: what was sent, every read with its times, and whether the answer is complete. Nothing of the
answer's content is looked at here; that is done after the load, by `answer`.
"""

from typing import Any

from harness.llm.exchange import Exchange, Failure, Reason
from harness.llm.wire.framing import LARGEST_HEAD, Dechunker, Head, Malformed, parse_head

# The bytes of one call and what is known of their arrival: all of them came after the first time, when the connection
# had been found empty; the second is when the call returned; beside the data stands the kernel's stamp of the newest
# byte. A bare tuple, because one is made for every token.
Read = tuple[int, int, Any, bytes]

_SEARCHING, _CHUNKED, _COUNTED, _UNTIL_CLOSED = range(4)


class Flight:
    """The record of one attempt, filled by the reading thread."""

    __slots__ = (
        "_framing",
        "_left",
        "_mode",
        "_walked",
        "body",
        "body_at",
        "closed",
        "exchange",
        "failed_ns",
        "failure",
        "head",
        "landed",
        "previous",
        "reads",
        "single",
        "start",
        "unframed",
        "user",
    )

    def __init__(self, exchange: Exchange, start: bytes, body: bytes, user: int = 0) -> None:
        self.exchange = exchange
        self.start = start  # the head of the request
        self.body = body
        self.user = user
        self.previous: Flight | None = None  # after whose answer this one is intended, in a closed loop
        self.reads: list[Read] = []
        self.single: set[int] = set()  # reads of more than one event that are known to be one segment
        self.head: Head | None = None
        self.body_at = 0  # where the body begins in the bytes of all reads
        self.failure: Failure | None = None
        self.failed_ns = 0
        self.landed = False  # nothing more comes of it
        self.closed = False  # the server closed the connection
        self.unframed = False  # the reads are the body itself: a library took the head and the framing off
        self._mode = _SEARCHING
        self._left = 0
        self._framing: Dechunker | None = None
        self._walked = 0

    def take(self, read: Read) -> bool:
        """Keeps a read; True when it completes the answer.

        Raises:
            Malformed: this is no HTTP.
        """
        self.reads.append(read)
        data = read[3]
        if self._mode == _CHUNKED:
            return (data.endswith(b"\r\n\r\n") or len(data) < 8) and self._last_chunk(data)
        if self._mode == _COUNTED:
            self._left -= len(data)
            return self._left <= 0
        return self._mode == _SEARCHING and self._find_head()

    @property
    def whole(self) -> bool:
        """Whether the end of the connection completed the answer."""
        return self._mode == _UNTIL_CLOSED

    @property
    def received(self) -> bytes:
        """All bytes so far."""
        return b"".join([read[3] for read in self.reads])

    @property
    def begun(self) -> bool:
        """Whether anything of an answer has come."""
        return bool(self.reads)

    def fail(self, reason: Reason, message: str, now_ns: int) -> None:
        """Keeps why there is no whole answer; the first reason counts."""
        if self.failure is None:
            self.failure = Failure(reason, message)
            self.failed_ns = now_ns

    def _find_head(self) -> bool:
        data = self.received
        while True:
            end = data.find(b"\r\n\r\n", self.body_at)
            if end < 0:
                start = data[self.body_at : self.body_at + 7]
                if len(data) - self.body_at > LARGEST_HEAD or not b"HTTP/1.".startswith(start):
                    raise Malformed(f"not the start of an HTTP answer: {data[:80]!r}")
                return False
            head = parse_head(data[self.body_at : end])
            self.body_at = end + 4
            if head.status >= 200:
                break  # others, such as 100 Continue, come before the answer
        self.head = head
        if head.chunked:
            self._mode = _CHUNKED
            return self._last_chunk(data) if len(data) > self.body_at else False
        if head.length is None:
            self._mode = _UNTIL_CLOSED
            return False
        self._mode = _COUNTED
        self._left = head.length - (len(data) - self.body_at)
        return self._left <= 0

    def _last_chunk(self, data: bytes) -> bool:
        """Whether the last chunk has come.

        The end of a stream of events is known by its last bytes, since walking over all its chunks would hold up the
        reading of all others just when many streams end together; `answer` walks later. Other bodies are walked.
        """
        assert self.head is not None
        if self.head.streams:
            if data.endswith(b"\n\n\r\n0\r\n\r\n"):
                return True
            if data == b"0\r\n\r\n" and len(self.reads) > 1 and self.reads[-2][3].endswith(b"\n\n\r\n"):
                return True
        if self._framing is None:
            self._framing = Dechunker()
            self._framing.feed(self.received[self.body_at :])
        else:
            for read in self.reads[self._walked :]:
                self._framing.feed(read[3])
        self._walked = len(self.reads)
        return self._framing.ended
