"""What tests of several rooms start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    with disks.small_disk(tmp_path / "small") as place:
        yield place
