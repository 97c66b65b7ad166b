"""The one writer of a log of binary records; a record survives a power cut once `append` has returned."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import BenchmarkFailed, StoreLost
from harness.journal.files import Files
from harness.journal.frames import HEADER_BYTES, SegmentHeader, frame_bytes, pack_frame, pack_header, seed_of
from harness.journal.frames import segment_name as name_of
from harness.journal.recovery import recover

_BINARY = getattr(os, "O_BINARY", 0)


class Log:
    """Appends to preallocated segments, so that a commit changes no metadata and costs one write and one sync.

    Nothing is ever written behind something bad: where the last segment is torn or damaged, a new one is begun and what
    is bad stays as evidence.
    """

    def __init__(
        self, folder: Path, *, segment_bytes: int = 1 << 20, strict: bool = True, files: Files | None = None
    ) -> None:
        """Opens or creates the log, after reading all of it: `recovery` holds the records and what was wrong.

        Raises:
            LogDamaged: strict, and something other than a torn tail is wrong.
            BenchmarkFailed: another process writes to this log.
            StoreLost: the folder cannot be written, or has no room.
        """
        self.folder, self._segment_bytes, self._files = folder, segment_bytes, files or Files()
        self._descriptor, self._broken = -1, ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._acquire()
        except OSError as error:
            raise self._lost(error) from error
        try:
            self._open(strict)
        except BaseException:
            self._lock.release()
            raise

    def _acquire(self) -> FileLock:
        lock = FileLock(self.folder / "writer.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BenchmarkFailed(f"another process writes to the log {self.folder}", "give each its folder") from None
        return lock

    def _open(self, strict: bool) -> None:
        for path in self.folder.glob("*.log.new"):  # a segment that a killed writer had not finished
            self._files.remove(path)
        self.recovery = recover(self.folder, strict=strict)
        self.sequence = self.recovery.next_sequence
        self._number, self._at, self._size = self.recovery.segment, self.recovery.end, self.recovery.size
        self._seed = seed_of(self._number)
        if not self.recovery.appendable:
            self._rotate()
            return
        self._path = self.folder / name_of(self._number)
        self._descriptor = os.open(self._path, os.O_RDWR | _BINARY)

    @property
    def largest(self) -> int:
        """The largest payload that a segment has room for."""
        return self._segment_bytes - frame_bytes(0) - HEADER_BYTES

    def append(self, kind: int, payload: bytes) -> int:
        """Writes one record, brings it to the disk, and gives its sequence number.

        Raises:
            ValueError: the payload is larger than a segment.
            StoreLost: the disk is full or gone. What was acknowledged before stays. After a failed write or sync the
                log takes nothing more until it is opened anew, for the kernel may have dropped what it had.
        """
        if self._broken:
            raise StoreLost(f"the log {self.folder} failed before: {self._broken}", "open it anew")
        if len(payload) > self.largest:
            raise ValueError(f"Parameter `payload` should have at most {self.largest} bytes. Found {len(payload)}.")
        if self._at + frame_bytes(len(payload)) > self._size:
            self._rotate()
        frame = pack_frame(self._seed, self.sequence, kind, payload)
        try:
            self._files.write(self._descriptor, self._path, frame, self._at)
            self._files.sync(self._descriptor, self._path)
        except OSError as error:
            self._broken = str(error)
            raise self._lost(error) from error
        self._at += len(frame)
        self.sequence += 1
        return self.sequence - 1

    def _rotate(self) -> None:
        """Begins the next segment; it gets its name once all of it is on the disk, so no header is ever torn."""
        number, size = self._number + 1, self._segment_bytes
        path = self.folder / name_of(number)
        temporary = path.with_suffix(".log.new")
        try:
            descriptor = self._files.create(temporary, size)
            try:
                self._files.write(descriptor, temporary, pack_header(SegmentHeader(number, size, self.sequence)), 0)
                self._files.sync(descriptor, temporary)
                self._files.publish(temporary, path)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            self._files.remove(temporary)
            raise self._lost(error) from error
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._path = descriptor, path
        self._number, self._at, self._size, self._seed = number, HEADER_BYTES, size, seed_of(number)

    def _lost(self, error: OSError) -> StoreLost:
        return StoreLost(f"cannot write the log {self.folder}: {error.strerror or error}", "free disk space")

    def close(self) -> None:
        """Closes the file; everything acknowledged is on the disk already."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._lock.release()
