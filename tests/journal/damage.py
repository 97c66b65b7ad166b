"""Small logs, and every way of damaging them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.journal.log import Log
from harness.journal.recovery import Record, Recovery

PAYLOADS = [b"", b"a", b"begin" * 8, bytes(range(1, 256)) * 2, b"\xff" * 16, b"commit" * 20, b"x" * 7, b"last"]


def written(folder: Path, payloads: list[bytes] = PAYLOADS, segment_bytes: int = 640) -> list[Record]:
    """A log of these payloads; gives its records."""
    log = Log(folder, segment_bytes=segment_bytes)
    for number, payload in enumerate(payloads):
        log.append(number % 3, payload)
    log.close()
    return [Record(number + 1, number % 3, payload) for number, payload in enumerate(payloads)]


def segments(folder: Path) -> list[Path]:
    """The files of a log, in order."""
    return sorted(folder.glob("*.log"))


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """The file with another content for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def flipped(content: bytes, bit: int) -> bytes:
    """The content with one bit flipped."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def silent(found: Recovery, records: list[Record]) -> bool:
    """Whether a reading is neither the exact prefix, nor says that something is wrong."""
    exact = found.records == records[: len(found.records)]
    return not exact or (len(found.records) < len(records) and not found.torn)
