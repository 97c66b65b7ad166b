import os
from pathlib import Path

import pytest

from harness.llm import page_cache

MIB = 1 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Eight MiB that are on the disk."""
    path = tmp_path / "weights"
    with path.open("wb") as out:
        out.write(os.urandom(8 * MIB))
        out.flush()
        os.fsync(out.fileno())
    return path


def can_be_dropped(path: Path) -> bool:
    """Whether this file system lets go of a file's pages; one in memory cannot."""
    page_cache.drop([path])
    return page_cache.resident_share([path]) == 0


def test_a_file_is_dropped_and_read_in_again(file: Path) -> None:
    if not can_be_dropped(file):
        pytest.skip("this file system keeps its pages")
    page_cache.fill([file])
    assert page_cache.resident_share([file]) == 1.0
    page_cache.drop([file])
    assert page_cache.resident_share([file]) == 0.0


def test_the_share_is_over_all_parts(file: Path, tmp_path: Path) -> None:
    if not can_be_dropped(file):
        pytest.skip("this file system keeps its pages")
    other = tmp_path / "part2"
    other.write_bytes(os.urandom(8 * MIB))
    share = page_cache.resident_share([file, other])
    assert share == pytest.approx(0.5, abs=0.01)


def test_pages_that_a_process_has_mapped_are_seen_to_stay(file: Path) -> None:
    """Trap: a page-cache-cold start that is called one while another process holds the file."""
    import mmap

    with file.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as held:
        assert sum(held[at] for at in range(0, len(held), mmap.PAGESIZE)) > 0
        page_cache.drop([file])
        assert page_cache.resident_share([file]) == 1.0


def test_an_empty_file_has_no_share(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert page_cache.resident_share([tmp_path / "empty"]) is None
