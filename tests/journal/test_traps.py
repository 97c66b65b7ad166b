"""Known mistakes of write-ahead logs, put back on purpose: each must be caught by a check of ours."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.journal import frames, log, recovery
from harness.journal.frames import HEADER_BYTES, frame_bytes
from harness.journal.log import Log
from harness.journal.recovery import Recovery, recover
from tests.journal.damage import flipped, segments, silent, written


def lost_after_a_torn_tail(folder: Path) -> bool:
    """Whether something acknowledged after a torn tail is not read back."""
    written(folder, [b"one", b"torn"])
    os.truncate(segments(folder)[0], HEADER_BYTES + frame_bytes(3) + 30)
    log = Log(folder, segment_bytes=640)
    log.append(0, b"after")
    log.close()
    return b"after" not in [record.payload for record in recover(folder, strict=False).records]


def test_the_honest_log_loses_nothing(tmp_path: Path) -> None:
    assert not lost_after_a_torn_tail(tmp_path)


def test_appending_behind_garbage_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer goes on at the end of the file, and the reader stops at the garbage before it."""

    def at_the_end_of_the_file(folder: Path, *, strict: bool = True) -> Recovery:
        found = recover(folder, strict=strict)
        if found.torn:
            os.truncate(segments(folder)[-1], 640)
            found.appendable, found.end = True, HEADER_BYTES + frame_bytes(3) + 32
        return found

    def stops_at_garbage(*_: object) -> list[int]:
        return []

    monkeypatch.setattr(log, "recover", at_the_end_of_the_file)
    monkeypatch.setattr(recovery, "_valid_after", lambda *_: iter(stops_at_garbage()))
    assert lost_after_a_torn_tail(tmp_path)


def silent_flips(folder: Path) -> int:
    """How many flipped bits of a small log give something else than it held, without a word."""
    records = written(folder, [b"begin" * 4, b"commit" * 4])
    (path,) = segments(folder)
    content, count = path.read_bytes(), 0
    for bit in range(HEADER_BYTES * 8, (HEADER_BYTES + frame_bytes(20) + frame_bytes(24)) * 8):
        path.write_bytes(flipped(content, bit))
        try:
            count += silent(recover(folder), records)
        except recovery.LogDamaged:
            continue
    return count


def nothing_is_summed(start: int, content: bytes) -> int:
    return start


def payloads_are_not_summed(start: int, content: bytes) -> int:
    return REAL_SUM(start, content) if len(content) == 20 else start


REAL_SUM = frames.extend


@pytest.mark.parametrize("weaker", [nothing_is_summed, payloads_are_not_summed])
def test_records_without_checksums_are_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weaker: Callable[[int, bytes], int]
) -> None:
    assert silent_flips(tmp_path / "honest") == 0
    monkeypatch.setattr(frames, "extend", weaker)
    assert silent_flips(tmp_path / "weaker") > 0


def test_taking_any_bad_end_for_a_torn_tail_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record in the middle is bad, and everything behind it is dropped as if it had never been acknowledged."""
    records = written(tmp_path, [b"one", b"two", b"three"])
    (path,) = segments(tmp_path)
    path.write_bytes(flipped(path.read_bytes(), (HEADER_BYTES + frame_bytes(3) + 4) * 8))
    monkeypatch.setattr(recovery, "_valid_after", lambda *_: iter(()))
    monkeypatch.setattr(recovery, "_is_torn", lambda *_: True)
    found = recover(tmp_path)
    assert len(found.records) < len(records) - 1
    monkeypatch.undo()
    with pytest.raises(recovery.LogDamaged):
        recover(tmp_path)
