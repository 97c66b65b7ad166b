"""Functions that the tests of calls run in other processes."""

import asyncio
import ctypes
import os
import re
import signal
import sys
import time

from harness.process.task import arena


def add(left: int, right: int) -> int:
    return left + right


def own_pid() -> int:
    return os.getpid()


def big(size: int) -> bytes:
    return b"x" * size


def length(data: bytes) -> int:
    return len(data)


def raises_timeout() -> None:
    raise TimeoutError("of the user's own")


class Stubborn(Exception):
    """An exception that pickles and does not unpickle."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def raises_stubborn() -> None:
    raise Stubborn(1, 2)


def stuck_in_c() -> None:
    """A C function that sleeps and answers to no Python signal handler."""
    ctypes.CDLL(None).sleep(3600)


def stuck_in_python() -> None:
    while True:
        pass


def stuck_holding_the_interpreter_lock() -> None:
    """One call of a C function of the interpreter that does not give the lock back for a very long time."""
    re.match(r"(a+)+b", "a" * 64)


def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(3600)  # the hang itself


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leaves() -> None:
    sys.exit(3)


def write_to_arena(text: bytes) -> int:
    arena()[: len(text)] = text
    return len(arena())


async def awaits(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "awake"


async def awaits_and_raises() -> None:
    raise TimeoutError("of the user's own")
