"""How the threads of one computation wait for each other: asleep, unless spinning is asked for.

GNU's OpenMP lets a thread that has nothing to do spin. On a host whose cores are all wanted by others, each thread then
spins through its whole time slice while the one that it waits for is not running: two threads on two busy cores made
1.3 tokens a second, or none in 40 s, where one makes 60. Both settings are read once, when the library is loaded.
"""

import os
import sys
from pathlib import Path

from harness.llm.engine import EngineFailed

PASSIVE = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
_LIBRARIES = ("libgomp", "libiomp", "libomp.")


def default_threads() -> int:
    """One less than the cores that this process may use, and at least one: the client needs a core of its own."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable - 1)


def environment(busy_wait: bool) -> dict[str, str]:
    """The environment of a child in which threads wait asleep, or as the library does by itself."""
    inherited = {name: value for name, value in os.environ.items() if name not in PASSIVE}
    return inherited if busy_wait else inherited | PASSIVE


def settle(busy_wait: bool) -> None:
    """The same for this process, before a library with OpenMP is loaded here.

    Raises:
        EngineFailed: one is loaded already, with threads that spin.
    """
    if busy_wait or all(os.environ.get(name) == value for name, value in PASSIVE.items()):
        return
    if library := loaded():
        raise EngineFailed(
            f"this process has loaded {Path(library).name} already, so its threads would wait by spinning",
            "start it in an interpreter of its own: worker.start=fresh; or accept it: llm.busy_wait=true",
        )
    os.environ.update(PASSIVE)


def loaded() -> str | None:
    """The path of the OpenMP library in this process, None where there is none or this cannot be told."""
    if sys.platform != "linux":
        return None
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[5:]
        if path and any(name in Path(path[0]).name for name in _LIBRARIES):
            return path[0]
    return None
