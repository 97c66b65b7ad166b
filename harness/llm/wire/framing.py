"""HTTP/1.1 framing: the head of an answer, and the chunks of a chunked body."""

from dataclasses import dataclass

LARGEST_HEAD = 1 << 16
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")
_LARGEST_LINE = 1 << 12  # of a chunk's size with its extensions


class Malformed(ValueError):
    """The bytes are no HTTP."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of an answer says about the rest."""

    status: int
    chunked: bool
    length: int | None  # of the body; None where only the end of the connection tells
    keeps: bool  # whether the connection may be used again
    content_type: str  # without parameters, in lower case
    retry_after: str | None

    @property
    def streams(self) -> bool:
        """Whether the body is a stream of events."""
        return self.content_type == "text/event-stream"


def parse_head(head: bytes) -> Head:
    """Reads status line and headers, given without the blank line.

    Raises:
        Malformed: this is no head of HTTP/1.
    """
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise Malformed(f"not the start of an HTTP answer: {status_line[:80]!r}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(rest[:3])
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    length = None if chunked else _length(headers.get("content-length"), status)
    wish = headers.get("connection", "").lower()
    keeps = ("keep-alive" in wish) if version == "HTTP/1.0" else "close" not in wish
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return Head(status, chunked, length, keeps and (chunked or length is not None), kind, headers.get("retry-after"))


def _length(said: str | None, status: int) -> int | None:
    if status in (204, 304) or 100 <= status < 200:
        return 0
    if said is None:
        return None
    if not said.isdigit():
        raise Malformed(f"Content-Length should be a number. Found {said[:40]!r}.")
    return int(said)


class Dechunker:
    """Takes the chunk framing off a body that comes in reads of any size."""

    def __init__(self) -> None:
        self.ended = False  # the last chunk was seen, with its trailers
        self._left = 0  # bytes of the current chunk's data still to come
        self._closing = 0  # bytes of the line break behind it still to come
        self._line = b""  # the part of a size line that has come
        self._last = False  # the last chunk was seen, its trailers not

    def feed(self, data: bytes) -> bytes:
        """The body bytes in this read.

        Raises:
            Malformed: the framing is wrong.
        """
        end = len(data)
        if data.endswith(b"\r\n") and not (self._left or self._closing or self._line or self._last):
            newline = data.find(b"\r\n")  # nearly every read is exactly one chunk
            size = data[:newline]
            if size and _HEXADECIMAL.issuperset(size) and int(size, 16) == end - newline - 4 > 0:
                return data[newline + 2 : -2]
        body: list[bytes] = []
        at = 0
        while at < end and not self.ended:
            if self._left:
                taken = data[at : at + self._left]
                body.append(taken)
                self._left -= len(taken)
                at += len(taken)
            elif self._closing:
                at = self._close(data, at)
            else:
                at = self._size(data, at)
        return body[0] if len(body) == 1 else b"".join(body)

    def _close(self, data: bytes, at: int) -> int:
        """Takes the line break behind a chunk's data, or the part of it that is there."""
        found = data[at : at + self._closing]
        if found != b"\r\n"[2 - self._closing :][: len(found)]:
            raise Malformed(f"a chunk is longer than its size: {data[at : at + 20]!r} follows")
        self._closing -= len(found)
        return at + len(found)

    def _size(self, data: bytes, at: int) -> int:
        """Takes a line, which is a chunk's size or, after the last chunk, a trailer."""
        newline = data.find(b"\n", at)
        if newline < 0:
            self._line += data[at:]
            if len(self._line) > _LARGEST_LINE:
                raise Malformed("a chunk's size goes on and on")
            return len(data)
        line = (self._line + data[at:newline]).rstrip(b"\r")
        self._line = b""
        if self._last:
            self.ended = not line
        else:
            self._begin(line)
        return newline + 1

    def _begin(self, line: bytes) -> None:
        size = line.partition(b";")[0].strip()
        if not size or not _HEXADECIMAL.issuperset(size):  # int() would take signs, underscores and 0x too
            raise Malformed(f"a chunk's size should be a hexadecimal number. Found {line[:40]!r}.")
        self._left = int(size, 16)
        if self._left:
            self._closing = 2
        else:
            self._last = True
