"""Writing that a kill or a power cut cannot tear: whole files by replacement, lines by one write, both synced."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0)


class Disk:
    """All that the store asks of the file system.

    `about_to` is called before each step that changes something. Here it does nothing; a test counts the steps and
    kills the process at each of them in turn.
    """

    def about_to(self, step: str, path: Path) -> None:
        """Called before each change, with its name."""

    def make_folder(self, path: Path) -> None:
        """Makes a new folder and its parents; an existing one is an error.

        Raises:
            OSError: it exists, or its parent cannot be written.
        """
        self.about_to("mkdir", path)
        path.mkdir(parents=True)

    def write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        """Replaces the file by the content, whole or not at all; `durable` brings it to the disk first.

        What can be derived again is written without `durable`: a sync costs some 4 ms.

        Raises:
            OSError: the folder cannot be written or has no room; the old file stays, the new one is removed.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self.about_to("create", temporary)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o644)
        try:
            try:
                self.put(descriptor, temporary, content)
                if durable:
                    self.about_to("sync", temporary)
                    self.sync(descriptor)
            finally:
                os.close(descriptor)
            self.about_to("replace", path)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def put(self, descriptor: int, path: Path, content: bytes) -> None:
        """Writes all bytes to an open file, in one system call unless the kernel takes fewer."""
        self.about_to("write", path)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, descriptor: int) -> None:
        """Brings a file's content to the disk, so that a power cut keeps it; a kill alone would lose nothing."""
        getattr(os, "fdatasync", os.fsync)(descriptor)

    def append(self, path: Path, lines: Sequence[bytes], heading: bytes) -> None:
        """Adds whole lines to a file that starts with `heading`; a torn last line of a killed writer is cut off first.

        The caller holds the file's lock.

        Raises:
            OSError: the file cannot be written or the disk has no room; nothing of the lines stays then.
        """
        self.about_to("open", path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o644)
        try:
            whole = _whole_bytes(descriptor)
            os.ftruncate(descriptor, whole)
            os.lseek(descriptor, whole, os.SEEK_SET)
            content = b"".join(lines) if whole else heading + b"".join(lines)
            try:
                self.put(descriptor, path, content)
            except OSError:
                os.ftruncate(descriptor, whole)
                raise
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Makes the names in a folder survive a power cut, where the system can (Windows cannot open a folder)."""
        self.about_to("sync folder", path)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return
        try:
            with contextlib.suppress(OSError):
                self.sync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Removes a file if it is there."""
        self.about_to("remove", path)
        path.unlink(missing_ok=True)


def _whole_bytes(descriptor: int) -> int:
    """How far the file reaches up to and including its last line end."""
    at = os.fstat(descriptor).st_size
    while at > 0:
        start = max(0, at - 65536)
        os.lseek(descriptor, start, os.SEEK_SET)
        block = os.read(descriptor, at - start)
        found = block.rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0
