"""Every way of damaging a small log by one cut or one flipped bit, and whether reading it ever stays silent."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Cancelled
from harness.journal.log import Log
from harness.journal.recovery import LogDamaged, Record, recover


@dataclass(frozen=True)
class Reading:
    """How many cuts and flips were tried, and how strict reading met them."""

    tried: int
    refused: int
    torn: int
    exact: int
    silent: int


def small_log(folder: Path, payloads: Sequence[bytes], segment_bytes: int) -> list[Record]:
    """Writes a log of these payloads, and gives its records."""
    log = Log(folder, segment_bytes=segment_bytes)
    numbers = [log.append(1, payload) for payload in payloads]
    log.close()
    return [Record(number, 1, payload) for number, payload in zip(numbers, payloads, strict=True)]


def try_all(folder: Path, records: list[Record], cancelled: Callable[[], bool]) -> Reading:
    """Cuts each file of a log at every byte, then flips each of its bits; reads it strictly each time.

    Raises:
        Cancelled: the run is to end.
    """
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*.log")):
        content = path.read_bytes()
        for length in range(len(content)):
            path.write_bytes(content[:length])
            counts[_read(folder, records)] += 1
        for bit in range(len(content) * 8):
            if bit % 1024 == 0 and cancelled():
                raise Cancelled
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            counts[_read(folder, records)] += 1
        path.write_bytes(content)
    return Reading(sum(counts.values()), counts["refused"], counts["torn"], counts["exact"], counts["silent"])


def _read(folder: Path, records: list[Record]) -> str:
    """`silent` is a wrong record, or one that is missing although nothing was said."""
    try:
        found = recover(folder)
    except LogDamaged:
        return "refused"
    if found.records != records[: len(found.records)]:
        return "silent"
    if found.torn:
        return "torn"
    return "exact" if len(found.records) == len(records) else "silent"
