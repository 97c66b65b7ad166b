"""Work with a planted cause, counted, so that each recommendation has something real to be right about."""

import hashlib
import os
import subprocess
import sys

UNITS = "HARNESS_TEST_UNITS"
_BLOCK = bytes(1 << 16)
_calls = 0
_held: list[bytearray] = []


def _work(units: int) -> None:
    for _ in range(units):
        hashlib.sha256(_BLOCK).digest()


def hash_units() -> None:
    """So many units of work as the environment says: code that became slower under an unchanged configuration."""
    _work(int(os.environ[UNITS]))


def cold_start(slow_calls: int) -> None:
    """Does thirty times the work in its first calls, as something that fills a cache."""
    global _calls
    _calls += 1
    _work(60 if _calls <= slow_calls else 2)


def hold(megabytes: int) -> None:
    """Holds memory from its first call on."""
    if not _held:
        held = bytearray(megabytes << 20)
        held[::4096] = b"x" * len(held[::4096])
        _held.append(held)
    _work(1)


def fail_every(turn: int) -> None:
    """Fails in each call of a turn; 0 never."""
    global _calls
    _calls += 1
    if turn and _calls % turn == 0:
        raise RuntimeError("planted")


def in_processes(count: int, units: int) -> None:
    """Shares the work out to so many processes and waits for them."""
    code = f"import hashlib\nfor _ in range({units}): hashlib.sha256(bytes(1 << 16)).digest()"
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    for child in children:
        child.wait()
