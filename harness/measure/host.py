"""Sensors of the whole host from kept-open files of /proc and /sys, each with its reason where it is missing."""

import contextlib
import os
from collections.abc import Callable
from typing import NamedTuple

from harness.measure import psi
from harness.measure.proc import File, open_file

_MOST_FREQUENCIES = 8  # a file is read for each CPU; the mean of eight is the mean of all for this purpose


class CpuTimes(NamedTuple):
    """Cumulated CPU ticks of the host, all CPUs together."""

    busy: int
    steal: int
    total: int


def parse_cpu_times(content: bytes) -> CpuTimes:
    """The first line of `/proc/stat`; guest time is contained in user time and is not counted again.

    Raises:
        ValueError: the content is not that of /proc/stat.
    """
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, content.split(b"\n", 1)[0].split()[1:9])
    busy = user + nice + system + irq + softirq
    return CpuTimes(busy, steal, busy + steal + idle + iowait)


def shares(before: CpuTimes, now: CpuTimes) -> dict[str, float]:
    """Busy and stolen percent between two readings; nothing where no tick has passed between them."""
    total = now.total - before.total
    if total <= 0:
        return {}
    return {
        "host.cpu_percent": 100.0 * (now.busy - before.busy) / total,
        "host.steal_percent": 100.0 * (now.steal - before.steal) / total,
    }


def parse_available_mb(content: bytes) -> float:
    """MemAvailable of `/proc/meminfo` in MiB.

    Raises:
        ValueError: the kernel is too old to state it.
    """
    start = content.index(b"MemAvailable:") + 13
    return int(content[start : content.index(b"kB", start)]) / 1024


class HostSensors:
    """All sensors of the host; what is missing is known from the start and stays missing."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._files: list[File] = []
        self._parsers: list[tuple[str, File, Callable[[bytes], float]]] = []
        self._stat = self._keep("/proc/stat", "host.cpu_percent", "host.steal_percent")
        self._before: CpuTimes | None = None
        self._add("host.available_mb", "/proc/meminfo", parse_available_mb)
        self._add("host.load1", "/proc/loadavg", lambda content: float(content.split(None, 1)[0]))
        for resource in psi.RESOURCES:
            self._add(f"host.pressure_{resource}_percent", f"/proc/pressure/{resource}", psi.some_avg10)
        self._frequencies = self._open_frequencies()

    def _keep(self, path: str, *sensors: str) -> File | None:
        file = open_file(path)
        if isinstance(file, str):
            self.missing |= dict.fromkeys(sensors, file)
            return None
        self._files.append(file)
        return file

    def _add(self, sensor: str, path: str, parse: Callable[[bytes], float]) -> None:
        file = self._keep(path, sensor)
        if file is not None:
            self._parsers.append((sensor, file, parse))

    def _open_frequencies(self) -> list[File]:
        cpus = sorted(os.sched_getaffinity(0))[:_MOST_FREQUENCIES]
        opened = [open_file(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq", 64) for cpu in cpus]
        files = [file for file in opened if isinstance(file, File)]
        self._files += files
        if not files:
            self.missing["host.cpu_mhz"] = "not-supported: no cpufreq, as in most virtual machines"
        return files

    def read(self) -> dict[str, float]:
        """The sensors that answer now; CPU shares are those since the last reading, so the first one has none."""
        found: dict[str, float] = {}
        for sensor, file, parse in self._parsers:
            content = file.read()
            if content:
                with contextlib.suppress(ValueError, IndexError):
                    found[sensor] = parse(content)
        content = self._stat.read() if self._stat else None
        if content:
            now = parse_cpu_times(content)
            found |= shares(self._before, now) if self._before else {}
            self._before = now
        clocks = [int(content) / 1000 for file in self._frequencies if (content := file.read())]
        if clocks:
            found["host.cpu_mhz"] = sum(clocks) / len(clocks)
        return found

    def close(self) -> None:
        """Releases all descriptors."""
        for file in self._files:
            file.close()
