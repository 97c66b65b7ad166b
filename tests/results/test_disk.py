import errno
import os
from pathlib import Path

import pytest

from harness.results.disk import Disk


class FullDisk(Disk):
    """A disk that takes so many bytes and then is full."""

    def __init__(self, room: int) -> None:
        self.room = room

    def put(self, descriptor: int, path: Path, content: bytes) -> None:
        taken = min(self.room, len(content))
        os.write(descriptor, content[:taken])
        self.room -= taken
        if taken < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    Disk().write(path, b"one")
    Disk().write(path, b"two", durable=False)
    assert path.read_bytes() == b"two"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    Disk().write(path, b"old")
    with pytest.raises(OSError, match="No space left"):
        FullDisk(5).write(path, b"much longer")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_lines_go_below_the_heading(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    Disk().append(path, [b"1,2\n"], b"a,b\n")
    Disk().append(path, [b"3,4\n", b"5,6\n"], b"a,b\n")
    assert path.read_bytes() == b"a,b\n1,2\n3,4\n5,6\n"


@pytest.mark.parametrize("torn", [b"3,", b"3" * 70_000])
def test_a_torn_last_line_is_cut_off_before_the_next(torn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,2\n" + torn)
    Disk().append(path, [b"5,6\n"], b"a,b\n")
    assert path.read_bytes() == b"a,b\n1,2\n5,6\n"


def test_a_torn_heading_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,")
    Disk().append(path, [b"1,2\n"], b"a,b\n")
    assert path.read_bytes() == b"a,b\n1,2\n"


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    Disk().append(path, [b"1,2\n"], b"a,b\n")
    with pytest.raises(OSError, match="No space left"):
        FullDisk(2).append(path, [b"3,4\n"], b"a,b\n")
    assert path.read_bytes() == b"a,b\n1,2\n"
