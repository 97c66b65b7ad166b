"""Which process a run belongs to, surely: a pid alone is used again, so the boot and the start time belong to it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")


@dataclass(frozen=True)
class Identity:
    """A process of this host; start_ticks are clock ticks since boot on Linux.

    Elsewhere they are milliseconds since 1970, which need no boot to be unique, and boot_id is empty.
    """

    boot_id: str
    pid: int
    start_ticks: int

    def as_dict(self) -> dict[str, Any]:
        """The form that manifests hold."""
        return asdict(self)


def host() -> str:
    """The name of this host."""
    import socket  # late: the verbs that only read do not need it

    return socket.gethostname()


def of(pid: int) -> Identity | None:
    """The identity of a living process; None when there is none, or when it has ended and waits to be reaped."""
    if (PROC / "self" / "stat").exists():
        return _from_proc(pid)
    return _from_psutil(pid)


def alive(stored: Mapping[str, Any]) -> bool:
    """Whether the very process of a stored identity still runs on this host."""
    found = of(int(stored["pid"]))
    return found is not None and found.as_dict() == dict(stored)


def _from_proc(pid: int) -> Identity | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the command's name may itself hold spaces and parentheses
    if fields[0] in "ZXx":
        return None
    boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Identity(boot, pid, int(fields[19]))


def _from_psutil(pid: int) -> Identity | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return Identity("", pid, round(process.create_time() * 1000))
    except psutil.Error:
        return None
