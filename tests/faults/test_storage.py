"""An output folder that cannot be written, or has no room, is a clear error; nothing is half kept."""

import json
from pathlib import Path

import pytest

from harness.results.store import Store
from tests.command_line import CommandLine
from tests.disks import fill

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("place", ["/proc/no/such/place", "/dev/null/outputs"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(user: CommandLine, place: str) -> None:
    elsewhere = CommandLine(Path(place), user.config_dir)
    done = elsewhere.run("scenario=steady")
    assert done.returncode == 2
    assert place in done.stderr
    assert "HARNESS_OUTPUTS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_refused_before_anything_runs(user: CommandLine, small_disk: Path) -> None:
    fill(small_disk, leave=64 << 10)
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
