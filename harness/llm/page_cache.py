"""The page cache of one file: how much of it is resident, dropping it, and reading it in."""

import ctypes
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

_BLOCK = 1 << 22
_PROT_READ, _MAP_SHARED = 1, 1


def can_drop() -> str | None:
    """Why the cache of a file cannot be dropped on this platform, None where it can."""
    return None if hasattr(os, "posix_fadvise") else "no-call: this platform has no posix_fadvise"


def drop(paths: Sequence[Path]) -> None:
    """Asks the kernel to forget the files; pages that a process has mapped, or that are not yet written, stay.

    Only these files lose their cache: nothing else on the host gets slower.
    """
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def fill(paths: Sequence[Path]) -> None:
    """Reads the files, so that they are in the page cache as far as it has room."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            buffer = bytearray(_BLOCK)
            while file.readinto(buffer):
                pass


def resident_share(paths: Sequence[Path]) -> float | None:
    """The share of the files' pages in the page cache, by mincore(2); None where that call is not there."""
    total = resident = 0
    for path in paths:
        counted = _pages(path)
        if counted is None:
            return None
        resident, total = resident + counted[0], total + counted[1]
    return resident / total if total else None


def _pages(path: Path) -> tuple[int, int] | None:
    """Resident pages and all pages of a file."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        mincore, map_file, unmap = library.mincore, library.mmap, library.munmap
    except (OSError, AttributeError, TypeError):
        return None
    map_file.restype = ctypes.c_void_p
    map_file.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    size = path.stat().st_size
    pages = -(-size // mmap.PAGESIZE)
    if pages == 0:
        return 0, 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        address = map_file(None, size, _PROT_READ, _MAP_SHARED, descriptor, 0)
    finally:
        os.close(descriptor)
    if address is None or address == ctypes.c_void_p(-1).value:
        return None
    found = ctypes.create_string_buffer(pages)
    try:
        failed = mincore(address, size, found)
    finally:
        unmap(address, size)
    return None if failed else (sum(page & 1 for page in found.raw), pages)
