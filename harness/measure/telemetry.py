"""Samples a process tree, the host and the GPUs from outside, states its own cost, and never raises into its caller."""

import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from harness.measure.catalogue import shipped
from harness.measure.proc import TreeReader, TreeReading, is_usable

Level = Literal["full", "light", "disabled"]
MOST_SHARE = (
    0.025  # of wall time that sampling may take, half of what is promised; asked more often, it repeats a sample
)
_GROUPS: dict[str, tuple[str, ...]] = {"full": ("tree", "host", "gpu"), "light": ("tree",), "disabled": ()}
_MOST_KEPT = 100_000  # costs and intervals beyond these no longer enter the medians: a day at 1 Hz fits
_HEADLINE = {"tree.peak_rss_mb": "max", "tree.cpu_s": "last"}  # the others' headline is the mean


class TreeSource(Protocol):
    """Where readings of the tree come from."""

    def read(self) -> TreeReading | None:
        """The tree now, None once its root has ended."""

    def close(self) -> None:
        """Releases what is held."""


class SensorSource(Protocol):
    """Where readings of other sensors come from."""

    missing: dict[str, str]

    def read(self) -> dict[str, float]:
        """The sensors that answer now."""


@dataclass(frozen=True)
class Snapshot:
    """One sample: the sensors that answered, by name, and whether the root process still was there."""

    time_ns: int
    values: Mapping[str, float] = field(default_factory=dict)
    alive: bool = True


@dataclass
class Running:
    """Summary of a series that is not kept."""

    n: int = 0
    total: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")
    last: float = 0.0

    def add(self, value: float) -> None:
        """Takes one more value in."""
        self.n += 1
        self.total += value
        self.low = min(self.low, value)
        self.high = max(self.high, value)
        self.last = value

    def summary(self) -> dict[str, float]:
        """Mean, min, max, last and n."""
        return {"mean": self.total / self.n, "min": self.low, "max": self.high, "last": self.last, "n": self.n}


class TreeSampler:
    """Telemetry of the process `root_pid` and all below it; call `sample` as often as wanted, `summary` at the end."""

    def __init__(self, root_pid: int, level: Level = "full", *, use_psutil: bool | None = None) -> None:
        self.level = level
        self.method = "psutil" if (not is_usable() if use_psutil is None else use_psutil) else "proc"
        self._units = {
            name.removeprefix("telemetry."): metric.unit
            for name, metric in shipped().items()
            if name.removeprefix("telemetry.").split(".", 1)[0] in _GROUPS[level]
        }
        self._series: dict[str, Running] = {}
        self._tree: TreeSource | None = None
        self._sources: list[SensorSource] = []
        self._first: tuple[int, float] | None = None
        self._previous: tuple[int, float] | None = None
        self._alive = True
        self._started_ns = time.perf_counter_ns()
        self._last_start_ns: int | None = None
        self._not_before_ns = 0
        self._cpu_ns = 0
        self._costs_us = array("d")
        self._intervals_s = array("d")
        self._samples = self._repeated = self._errors = 0
        self._last_error: str | None = None
        self._latest = Snapshot(self._started_ns)
        self._open(root_pid)

    def _open(self, root_pid: int) -> None:
        cpu = time.thread_time_ns()
        try:
            self._tree = self._open_tree(root_pid) if self.level != "disabled" else None
            self._sources = self._open_sources()
        except Exception as error:
            self._note(error)
        self._cpu_ns = time.thread_time_ns() - cpu

    def _note(self, error: Exception) -> None:
        """A sensor that breaks must not end the run that it only watches."""
        self._errors += 1
        self._last_error = f"{type(error).__name__}: {error}"

    def _open_tree(self, root_pid: int) -> TreeSource:
        if self.method == "proc":
            return TreeReader(root_pid)
        from harness.measure.portable import PortableTreeReader  # late: psutil is not needed where there is /proc

        return PortableTreeReader(root_pid)

    def _open_sources(self) -> list[SensorSource]:
        if self.level != "full":
            return []
        from harness.measure.nvml import GpuSensors

        if self.method == "proc":
            from harness.measure.host import HostSensors

            return [HostSensors(), GpuSensors()]
        from harness.measure.portable import PortableHostSensors

        return [PortableHostSensors(), GpuSensors()]

    def sample(self) -> Snapshot:
        """Takes a sample, or repeats the last one where a new one would make sampling cost too much of wall time."""
        started = time.perf_counter_ns()
        if self._tree is None:
            return self._latest
        if started < self._not_before_ns:
            self._repeated += 1
            return self._latest
        cpu = time.thread_time_ns()
        try:
            self._latest = self._read(started)
        except Exception as error:
            self._note(error)
        self._account(started, time.thread_time_ns() - cpu)
        return self._latest

    def _account(self, started: int, cpu_ns: int) -> None:
        self._samples += 1
        self._cpu_ns += cpu_ns
        self._not_before_ns = started + int(cpu_ns / MOST_SHARE)
        if len(self._costs_us) < _MOST_KEPT:
            self._costs_us.append(cpu_ns / 1000)
            if self._last_start_ns is not None:
                self._intervals_s.append((started - self._last_start_ns) / 1e9)
        self._last_start_ns = started

    def _read(self, now: int) -> Snapshot:
        values: dict[str, float] = {}
        assert self._tree is not None
        reading = self._tree.read() if self._alive else None
        self._alive = reading is not None
        if reading is not None:
            values |= self._tree_values(now, reading)
        for source in self._sources:
            values |= source.read()
        for name, value in values.items():
            self._series.setdefault(name, Running()).add(value)
        return Snapshot(now, values, self._alive)

    def _tree_values(self, now: int, reading: TreeReading) -> dict[str, float]:
        first = self._first = self._first or (now, reading.cpu_s)
        values = {
            "tree.cpu_s": reading.cpu_s - first[1],
            "tree.rss_mb": reading.resident_mb,
            "tree.peak_rss_mb": reading.peak_mb,
            "tree.threads": float(reading.threads),
            "tree.processes": float(reading.processes),
        }
        if self._previous is not None and now > self._previous[0]:
            elapsed_s = (now - self._previous[0]) / 1e9
            values["tree.cpu_percent"] = 100.0 * (reading.cpu_s - self._previous[1]) / elapsed_s
        self._previous = (now, reading.cpu_s)
        return values

    @property
    def latest(self) -> Snapshot:
        """The last sample that was taken."""
        return self._latest

    @property
    def cpu_share(self) -> float:
        """The sampler's own CPU time over wall time so far."""
        return self._cpu_ns / max(1, time.perf_counter_ns() - self._started_ns)

    def summary(self) -> dict[str, Any]:
        """The telemetry part of a result document: every sensor of the level, available or with its reason."""
        reasons = {name: why for source in self._sources for name, why in source.missing.items()}
        sensors = {name: self._unavailable(name, reasons) for name in self._units if name not in self._series}
        sensors |= {name: self._available(name) for name in self._series}
        return {
            "level": self.level,
            "method": self.method,
            "sensors": dict(sorted(sensors.items())),
            "sampler": self._own_cost(),
        }

    def _available(self, name: str) -> dict[str, Any]:
        summary = self._series[name].summary()
        group, *index, field_name = name.split(".")
        unit = self._units.get(f"{group}.{field_name}" if index else name, "1")
        return {"status": "ok", "value": summary[_HEADLINE.get(name, "mean")], "unit": unit, **summary}

    def _unavailable(self, name: str, reasons: Mapping[str, str]) -> dict[str, Any]:
        reason = reasons.get(name)
        if reason is None and self._errors:
            reason = f"error: {self._last_error}"
        elif reason is None:
            taken = "1 sample" if self._samples == 1 else f"{self._samples} samples"
            reason = f"too-short: the run ended after {taken}, and this needs more"
        return {"value": None, "status": "unavailable", "reason": reason, "unit": self._units[name]}

    def _own_cost(self) -> dict[str, Any]:
        return {
            "samples": self._samples,
            "repeated": self._repeated,
            "errors": self._errors,
            "last_error": self._last_error,
            "cpu_s": self._cpu_ns / 1e9,
            "cpu_share": self.cpu_share,
            "cost_us": _middle_and_most(self._costs_us),
            "interval_s": _middle_and_most(self._intervals_s),
        }

    def close(self) -> None:
        """Releases all descriptors; `summary` still answers."""
        for source in (self._tree, *self._sources):
            if (close := getattr(source, "close", None)) is not None:
                cast(Any, close)()
        self._tree = None


def _middle_and_most(values: "array[float]") -> dict[str, float] | None:
    if not values:
        return None
    return {"p50": sorted(values)[len(values) // 2], "max": max(values)}
