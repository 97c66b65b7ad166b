"""The same sensors through psutil, for macOS and Windows; `HARNESS_FORCE_PSUTIL=1` chooses them on Linux too."""

from typing import Any

import psutil

from harness.measure.proc import TreeReading

_NO_PSI = "not-supported: pressure is a feature of Linux"


class PortableTreeReader:
    """Readings of a process tree; what a child used that ended between two readings is lost on macOS and Windows."""

    def __init__(self, root: int) -> None:
        self._root: psutil.Process | None
        try:
            self._root = psutil.Process(root)
        except psutil.Error:
            self._root = None
        self._cpu_s = 0.0

    def read(self) -> TreeReading | None:
        """The tree now, None once its root has ended."""
        if self._root is None or not _is_alive(self._root):
            return None
        try:
            members = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return None
        readings = [reading for member in members if (reading := _read_process(member)) is not None]
        if not readings:
            return None
        resident = [rss for _, rss, _ in readings]
        self._cpu_s = max(self._cpu_s, sum(cpu for cpu, _, _ in readings))
        return TreeReading(
            self._cpu_s, sum(resident), sum(resident), sum(threads for _, _, threads in readings), len(readings)
        )

    def close(self) -> None:
        """Nothing is held."""


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _read_process(process: psutil.Process) -> tuple[float, float, int] | None:
    try:
        with process.oneshot():
            times = process.cpu_times()
            cpu_s = times.user + times.system
            cpu_s += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            return cpu_s, process.memory_info().rss / 2**20, process.num_threads()
    except psutil.Error:
        return None


class PortableHostSensors:
    """The host's sensors as far as psutil has them."""

    def __init__(self) -> None:
        self.missing = {f"host.pressure_{resource}_percent": _NO_PSI for resource in ("cpu", "io", "memory")}
        if not hasattr(psutil.cpu_times(), "steal"):
            self.missing["host.steal_percent"] = "not-supported: only Linux states stolen time"
        if self._mhz() is None:
            self.missing["host.cpu_mhz"] = "not-supported: psutil finds no clock rate here"
        self._before = psutil.cpu_times()

    @staticmethod
    def _mhz() -> float | None:
        try:
            frequency = psutil.cpu_freq()
        except (OSError, NotImplementedError, AttributeError):  # each from psutil on some system without a clock rate
            return None
        return float(frequency.current) or None if frequency else None

    def read(self) -> dict[str, float]:
        """The sensors that answer now; CPU shares are those since the last reading."""
        found = {"host.available_mb": psutil.virtual_memory().available / 2**20, "host.load1": psutil.getloadavg()[0]}
        before, now = self._before, psutil.cpu_times()
        self._before = now
        total = _total(now) - _total(before)
        if total > 0:
            idle = now.idle - before.idle + getattr(now, "iowait", 0.0) - getattr(before, "iowait", 0.0)
            steal = getattr(now, "steal", 0.0) - getattr(before, "steal", 0.0)
            found["host.cpu_percent"] = 100.0 * max(0.0, total - idle - steal) / total
            if "host.steal_percent" not in self.missing:
                found["host.steal_percent"] = 100.0 * steal / total
        mhz = None if "host.cpu_mhz" in self.missing else self._mhz()
        if mhz is not None:
            found["host.cpu_mhz"] = mhz
        return found

    def close(self) -> None:
        """Nothing is held."""


def _total(times: Any) -> float:
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # contained in user and nice already
    return float(sum(times) - guests)
