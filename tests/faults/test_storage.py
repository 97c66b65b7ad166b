"""An output folder that cannot be written, or has no room, is a clear error; nothing is half kept."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.results.store import Store
from tests.command_line import CommandLine

pytestmark = pytest.mark.faults


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB; mounting needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=False)
    if mounted.returncode != 0:
        assert os.environ.get("CI") != "true", "the tests of full disks need the right to mount"
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(folder: Path, leave_bytes: int) -> None:
    """Takes all room of the folder's file system but this much."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with (folder / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave_bytes)


@pytest.mark.parametrize("place", ["/proc/no/such/place", "/dev/null/outputs"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(user: CommandLine, place: str) -> None:
    elsewhere = CommandLine(Path(place), user.config_dir)
    done = elsewhere.run("scenario=steady")
    assert done.returncode == 2
    assert place in done.stderr
    assert "HARNESS_OUTPUTS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_refused_before_anything_runs(user: CommandLine, small_disk: Path) -> None:
    fill(small_disk, 64 << 10)
    done = CommandLine(small_disk / "outputs", user.config_dir).run("scenario=steady")
    assert done.returncode == 2
    assert "no room" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_fills_up_while_measuring_ends_the_run_and_keeps_what_was_recorded(
    user: CommandLine, small_disk: Path
) -> None:
    """The sample file doubles until the disk is full: a fault at a counted size, not at a time."""
    full = CommandLine(small_disk / "outputs", user.config_dir)
    done = full.run("scenario=steady", "measure.iterations=2000000")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    manifest = json.loads((full.folders()[-1] / "manifest.json").read_bytes())
    assert manifest["status"] in ("failed", "crashed")
    assert "no room" in json.dumps(manifest["reason"]) or "no room" in done.stderr
    (small_disk / "filler").unlink(missing_ok=True)
    store = Store(full.outputs)
    assert store.recover() == []
    store.close()
    assert full.verb("results").returncode == 0
