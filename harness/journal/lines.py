"""Append-only JSON lines that survive a kill: one write a line, synced on request, torn tails dropped and told."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import StoreLost


class Journal:
    """The one writer of a journal file. A line is acknowledged once `append` has returned."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file; a torn last line of a killed writer is closed off, so that it stays one bad line.

        Raises:
            OSError: the file cannot be opened.
        """
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        self._dirty = False
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")

    def append(self, record: Mapping[str, Any]) -> None:
        """Writes one record as one line.

        Raises:
            StoreLost: the disk is full or gone; what was acknowledged before stays readable.
        """
        line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise StoreLost(f"cannot write {self.path}: {error.strerror}", "free disk space and run again") from error
        if written != len(line):
            raise StoreLost(f"cannot write {self.path}: the disk is full", "free disk space and run again")
        self._dirty = True

    def sync(self) -> None:
        """Brings what was appended to the disk, so that a power cut keeps it; never called inside a timed section."""
        if self._dirty:
            getattr(os, "fdatasync", os.fsync)(self._descriptor)
            self._dirty = False

    def close(self) -> None:
        """Syncs and closes."""
        try:
            self.sync()
        finally:
            os.close(self._descriptor)


def read_journal(path: Path) -> tuple[list[dict[str, Any]], int]:
    """All whole records, oldest first, and how many lines were torn or unreadable."""
    records: list[dict[str, Any]] = []
    broken = 0
    for line in path.read_bytes().split(b"\n"):
        if not line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            broken += 1
    return records, broken
