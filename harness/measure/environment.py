"""Where a number comes from: host, CPU, memory, GPU, libraries, commit, container limits, and how quiet it was."""

import hashlib
import json
import os
import platform
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.measure import checkout, container, libraries, nvml, psi
from harness.measure.host import parse_cpu_times

Run = Callable[[Sequence[str]], str | None]

PRESSURE_LIMIT = 10.0  # percent of the last 10 s in which some task waited for a CPU
LOAD_LIMIT = 0.7  # per CPU, where the kernel has no pressure figures
STEAL_LIMIT = 2.0  # percent of the CPUs taken by the hypervisor


def unavailable(reason: str) -> dict[str, Any]:
    """A value that this machine does not give, with the reason; never 0 and never left out."""
    return {"value": None, "status": "unavailable", "reason": reason}


def capture(device: str, torch_info: Mapping[str, Any] | None = None, run: Run | None = None) -> dict[str, Any]:
    """The environment part of a result document.

    `torch_info` is what the worker told of its torch. `run` gives the output of a command or None; with it the commit
    comes from git, which alone can say whether the checkout was changed.
    """
    cpu = cpu_info()
    gpu = nvml.describe()
    memory_mb = total_memory_mb()
    return {
        "hostname": socket.gethostname(),
        "user": _user(),
        "os": _operating_system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": {"version": platform.python_version(), "implementation": sys.implementation.name},
        "executable": sys.executable,
        "cpu": cpu,
        "memory_mb": memory_mb,
        "gpu": gpu,
        "device": device,
        "libraries": libraries.versions(),
        "torch": dict(torch_info) if torch_info else unavailable("not-used: the measured process did not load torch"),
        "git": checkout.describe(Path.cwd(), run),
        "container": container.describe(),
        "quietness": quietness(),
        "fingerprint": fingerprint(cpu, memory_mb, gpu, device),
    }


def fingerprint(cpu: Mapping[str, Any], memory_mb: int | None, gpu: Mapping[str, Any], device: str) -> str:
    """A short hash of the hardware that a baseline holds for: CPU, cores, memory, system, device.

    Memory counts in whole GiB, because kernels reserve a little more or less of it.
    """
    gpus = [each["name"] for each in gpu.get("devices", [])] if device != "cpu" else []
    parts = [
        cpu["model"],
        cpu["cores"],
        None if memory_mb is None else round(memory_mb / 1024),
        [platform.system(), platform.machine()],
        [device, gpus],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def quietness(before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """How much else the host was doing: pressure, load, stolen time, and the judgement with its reason.

    Stolen time is the share since the stamp `before`, and null without one.
    """
    pressure, load = psi.pressure("cpu"), _load()
    ticks = _cpu_ticks()
    steal = _steal_percent(before, ticks)
    reasons = []
    if pressure is not None and pressure > PRESSURE_LIMIT:
        reasons.append(f"tasks waited for a CPU in {pressure:g} % of the last 10 s, over {PRESSURE_LIMIT:g} %")
    if pressure is None and load is not None and load[0] > LOAD_LIMIT * (os.cpu_count() or 1):
        reasons.append(f"load {load[0]:g} on {os.cpu_count()} CPUs, over {LOAD_LIMIT:g} each")
    if steal is not None and steal > STEAL_LIMIT:
        reasons.append(f"the hypervisor took {steal:.1f} % of the CPUs, over {STEAL_LIMIT:g} %")
    known = pressure is not None or load is not None
    return {
        "cpu_some_avg10": pressure,
        "loadavg": load,
        "steal": steal,
        "ticks": ticks,
        "quiet": not reasons if known else None,
        "reason": "; ".join(reasons) or (None if known else "unavailable: neither pressure nor load can be read here"),
    }


def _load() -> list[float] | None:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (OSError, AttributeError):
        return None


def _cpu_ticks() -> dict[str, int] | None:
    try:
        with open("/proc/stat", "rb") as file:
            times = parse_cpu_times(file.readline())
    except (OSError, ValueError):
        return None
    return {"steal": times.steal, "total": times.total}


def _steal_percent(before: Mapping[str, Any] | None, now: Mapping[str, int] | None) -> float | None:
    earlier = (before or {}).get("ticks")
    if not earlier or not now or now["total"] <= earlier["total"]:
        return None
    return 100.0 * float(now["steal"] - earlier["steal"]) / float(now["total"] - earlier["total"])


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME") or str(getattr(os, "getuid", lambda: "unknown")())


def _operating_system() -> str:
    """The distribution's own name on Linux, else system and release."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except (OSError, AttributeError):
        return f"{platform.system()} {platform.release()}"


def total_memory_mb() -> int | None:
    """The machine's memory in MiB, None where nothing tells it."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20)
    except (AttributeError, ValueError, OSError):
        import psutil

        return round(psutil.virtual_memory().total / 2**20)


def cpu_info() -> dict[str, Any]:
    """Model, cores, those usable here, clock, governor, and whether a hypervisor is below."""
    first = _first_cpu()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "model": first.get("model name") or first.get("Model") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "usable": usable,
        "mhz": float(first["cpu MHz"])
        if "cpu MHz" in first
        else unavailable("not-supported: the kernel does not tell"),
        "governor": _sysfs("cpu0/cpufreq/scaling_governor", "no cpufreq, as in most virtual machines"),
        "boost": _sysfs("cpufreq/boost", "no boost switch"),
        "virtual": "hypervisor" in first.get("flags", "").split() if first else None,
    }


def _first_cpu() -> dict[str, str]:
    """The first block of /proc/cpuinfo; the whole file takes milliseconds on machines with many CPUs."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = iter(file.readline, "")
            block = []
            for line in lines:
                if not line.strip():
                    break
                block.append(line)
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in block)}


def _sysfs(name: str, reason: str) -> str | dict[str, Any]:
    try:
        return Path(f"/sys/devices/system/cpu/{name}").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return unavailable(f"not-supported: {reason}")
