"""The few changes of the file system that logs and checkpoints are made of, each of which a power cut survives."""

import contextlib
import os
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0)
_ZEROS = bytes(1 << 20)

Content = bytes | bytearray | memoryview


class Files:
    """All that a log or a checkpoint asks of the file system.

    `about_to` is called before each step that changes something. Here it does nothing; a test counts the steps and
    kills the process, or fails the step, at each of them in turn.
    """

    def about_to(self, step: str, path: Path) -> None:
        """Called before each change, with its name."""

    def create(self, path: Path, size: int = 0) -> int:
        """A new empty file with room for `size` bytes, which read as zeros; gives its descriptor.

        Raises:
            OSError: the folder cannot be written, or has no room; the file does not stay.
        """
        self.about_to("create", path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | _BINARY, 0o644)
        try:
            self._reserve(descriptor, size)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return descriptor

    def _reserve(self, descriptor: int, size: int) -> None:
        if hasattr(os, "posix_fallocate"):
            if size:
                os.posix_fallocate(descriptor, 0, size)
            return
        for at in range(0, size, len(_ZEROS)):  # elsewhere the room is taken by really writing it
            self._put(descriptor, _ZEROS[: size - at], at)

    def write(self, descriptor: int, path: Path, content: Content, at: int) -> None:
        """Writes all bytes at an offset, in one system call unless the kernel takes fewer.

        Raises:
            OSError: the disk is full or gone.
        """
        self.about_to("write", path)
        self._put(descriptor, content, at)

    def _put(self, descriptor: int, content: Content, at: int) -> None:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, content, at)
        else:
            os.lseek(descriptor, at, os.SEEK_SET)
            written = os.write(descriptor, content)
        if written < len(content):
            self._put(descriptor, memoryview(content)[written:], at + written)

    def sync(self, descriptor: int, path: Path) -> None:
        """Brings a file's content to the disk.

        Raises:
            OSError: it did not get there, and the kernel may have dropped it: what was written counts as lost.
        """
        self.about_to("sync", path)
        getattr(os, "fdatasync", os.fsync)(descriptor)

    def publish(self, temporary: Path, path: Path) -> None:
        """Gives a finished, synced file its name, whole or not at all, and brings the name to the disk."""
        self.about_to("publish", path)
        temporary.replace(path)
        self.sync_folder(path.parent)

    def sync_folder(self, path: Path) -> None:
        """Brings the names in a folder to the disk, where the system can (Windows cannot open a folder)."""
        self.about_to("sync folder", path)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except PermissionError:
            return
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Removes a file if it is there."""
        self.about_to("remove", path)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
