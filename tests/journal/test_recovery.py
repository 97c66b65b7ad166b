"""Whatever happens to a small log: the exact prefix, or an error that says where; never silence."""

from pathlib import Path

import pytest

from harness.journal.frames import FRAME_BYTES, HEADER_BYTES, frame_bytes
from harness.journal.log import Log
from harness.journal.recovery import LogDamaged, Recovery, recover
from tests.journal.damage import changed, flipped, segments, silent, written


def strict(folder: Path) -> Recovery | None:
    """What a strict reading gives, None where it refuses."""
    try:
        return recover(folder)
    except LogDamaged:
        return None


def test_what_was_appended_is_recovered_across_segments(tmp_path: Path) -> None:
    records = written(tmp_path)
    found = recover(tmp_path)
    assert found.records == records
    assert (found.torn, found.flaws) == ([], [])
    assert len(segments(tmp_path)) >= 2


def test_a_log_cut_at_any_byte_gives_its_exact_prefix_or_an_error(tmp_path: Path) -> None:
    records = written(tmp_path)
    outcomes: set[str] = set()
    for path in segments(tmp_path):
        content = path.read_bytes()
        for length in range(len(content)):
            with changed(path, content[:length]):
                found = strict(tmp_path)
                outcomes.add("refused" if found is None else "prefix")
                assert found is None or (not silent(found, records) and found.torn), (path.name, length)
                assert path != segments(tmp_path)[-1] or length < HEADER_BYTES or found is not None
    assert outcomes == {"refused", "prefix"}


def test_zeros_from_any_byte_on_give_the_exact_prefix_or_an_error(tmp_path: Path) -> None:
    records = written(tmp_path)
    for path in segments(tmp_path):
        content = path.read_bytes()
        for length in range(HEADER_BYTES, len(content)):
            with changed(path, content[:length] + bytes(len(content) - length)):
                found = strict(tmp_path)
                if found is not None:
                    assert found.records == records[: len(found.records)]


def test_any_flipped_bit_gives_the_exact_prefix_or_an_error(tmp_path: Path) -> None:
    records = written(tmp_path)
    refused = 0
    for path in segments(tmp_path):
        content = path.read_bytes()
        for bit in range(len(content) * 8):
            with changed(path, flipped(content, bit)):
                found = strict(tmp_path)
                refused += found is None
                assert found is None or not silent(found, records), (path.name, bit)
    assert refused > sum(frame_bytes(len(record.payload)) for record in records) * 8 * 0.9


def test_lenient_reading_loses_only_what_is_damaged_and_counts_it(tmp_path: Path) -> None:
    records = written(tmp_path)
    for path in segments(tmp_path):
        content = path.read_bytes()
        for bit in range(0, len(content) * 8, 5):  # every byte; 5 and 8 share no factor, so every bit of some byte
            with changed(path, flipped(content, bit)):
                found = recover(tmp_path, strict=False)
                missing = [record for record in records if record not in found.records]
                assert [record for record in records if record not in missing] == found.records
                assert len(missing) <= 1, (path.name, bit)
                assert not missing or found.flaws or found.torn


@pytest.mark.parametrize("at", [0, HEADER_BYTES + 3, HEADER_BYTES + FRAME_BYTES + 5])
def test_strict_reading_names_the_file_the_byte_and_the_reason(tmp_path: Path, at: int) -> None:
    written(tmp_path, [b"first record", b"second record"])
    (path,) = segments(tmp_path)
    path.write_bytes(flipped(path.read_bytes(), at * 8))
    with pytest.raises(LogDamaged) as raised:
        recover(tmp_path)
    assert raised.value.flaw.file == path.name
    assert raised.value.flaw.offset == (0 if at == 0 else HEADER_BYTES)
    assert "record 1" in raised.value.flaw.reason or at == 0


@pytest.mark.parametrize("sectors", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_a_last_frame_of_which_sectors_never_reached_the_disk_is_torn_and_said(
    tmp_path: Path, sectors: tuple[int, ...]
) -> None:
    records = written(tmp_path, [b"kept", b"\xee" * 1200], segment_bytes=4096)
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    start = HEADER_BYTES + frame_bytes(4)
    for sector in sectors:
        low, high = max(start, sector * 512), (sector + 1) * 512
        content[low:high] = bytes(high - low)
    path.write_bytes(content)
    found = recover(tmp_path)
    assert found.records == records[:1]
    assert [flaw.offset for flaw in found.torn] == [start]


def test_a_record_lost_before_later_ones_is_damage_and_no_end_of_the_log(tmp_path: Path) -> None:
    written(tmp_path, [b"one", b"two", b"three"])
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    start = HEADER_BYTES + frame_bytes(3)
    content[start : start + frame_bytes(3)] = bytes(frame_bytes(3))
    path.write_bytes(content)
    with pytest.raises(LogDamaged, match=f"byte {start}"):
        recover(tmp_path)
    found = recover(tmp_path, strict=False)
    assert [record.payload for record in found.records] == [b"one", b"three"]


def test_a_missing_segment_is_damage(tmp_path: Path) -> None:
    written(tmp_path)
    first = segments(tmp_path)[0]
    first.unlink()
    with pytest.raises(LogDamaged, match=r"00000001\.log, byte 0: the file is missing"):
        recover(tmp_path)


def test_records_of_another_segment_are_not_taken_for_its_own(tmp_path: Path) -> None:
    """A file copied over another, as a botched restore of a backup does."""
    written(tmp_path)
    first, second = segments(tmp_path)[:2]
    second.write_bytes(first.read_bytes())
    with pytest.raises(LogDamaged, match="the header is that of segment 1"):
        recover(tmp_path)


def test_an_empty_folder_is_an_empty_log(tmp_path: Path) -> None:
    assert recover(tmp_path).records == []
    log = Log(tmp_path)
    log.close()
    assert recover(tmp_path).next_sequence == 1
