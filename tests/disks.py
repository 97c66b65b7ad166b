"""Disks that are full or slow, for real: small and throttled file systems. Mounting them needs root."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

THROTTLES = Path("/sys/fs/cgroup/blkio")


def refuse_or_skip(reason: str) -> None:
    """A test run that is to be complete fails; elsewhere the test is left out."""
    assert os.environ.get("CI") != "true", reason
    pytest.skip(reason)


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=False)
    if mounted.returncode != 0:
        refuse_or_skip("mounting a small file system needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(place: Path, *, leave: int) -> None:
    """Takes all room but this much; looked at again where the checkpoint on its way took some meanwhile."""
    with (place / "filler").open("wb") as file:
        while (free := os.statvfs(place).f_bavail * os.statvfs(place).f_frsize) > leave:
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free - leave)


@dataclass(frozen=True)
class SlowDisk:
    """A file system whose device gives processes in a control group no more than a rate, both ways."""

    place: Path
    group: Path

    def slow_down(self) -> None:
        """Puts the calling process into the group."""
        (self.group / "cgroup.procs").write_text(str(os.getpid()))


@contextlib.contextmanager
def slow_disk(folder: Path, *, bytes_per_s: int) -> Iterator[SlowDisk]:
    """A loop device of 256 MB, throttled by the kernel's block layer."""
    folder.mkdir()
    image, place = folder / "image", folder / "slow"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(256 << 20)
    group = THROTTLES / f"slow-{os.getpid()}"
    device = None
    try:
        group.mkdir()
        device = _said("losetup", "-f", "--show", str(image))
        _said("mkfs.ext4", "-q", device)
        _said("mount", device, str(place))
        number = Path(device).stat().st_rdev
        limit = f"{os.major(number)}:{os.minor(number)} {bytes_per_s}"
        for way in ("read", "write"):
            (group / f"blkio.throttle.{way}_bps_device").write_text(limit)
    except (OSError, subprocess.CalledProcessError) as error:
        _remove(place, device, group)
        refuse_or_skip(f"a throttled disk needs root, a loop device and the control group blkio: {error}")
    try:
        yield SlowDisk(place, group)
    finally:
        _remove(place, device, group)


def _remove(place: Path, device: str | None, group: Path) -> None:
    if os.path.ismount(place):
        subprocess.run(["umount", str(place)], check=True)
    if device:
        subprocess.run(["losetup", "-d", device], check=True)
    if group.is_dir():
        group.rmdir()


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
