"""Limits that a container or control group sets: the same host behaves like a smaller one inside."""

import os
from pathlib import Path
from typing import Any

_UNLIMITED = 1 << 60  # version 1 states "no limit" as a number near the largest


def describe(root: Path = Path("/")) -> dict[str, Any]:
    """The kind of container, None on a bare host, and the CPU and memory limits, None where there is no limit."""
    groups = _groups(root)
    if groups is None:
        return {
            "value": None,
            "status": "unavailable",
            "reason": "not-supported: control groups are a feature of Linux",
        }
    cpus, memory_mb = _version_2(root, groups[""]) if "" in groups else (None, None)
    older_cpus, older_memory_mb = _version_1(root, groups)
    return {
        "kind": _kind(root),
        "cpu_limit": cpus if cpus is not None else older_cpus,
        "memory_limit_mb": memory_mb if memory_mb is not None else older_memory_mb,
    }


def _groups(root: Path) -> dict[str, str] | None:
    """The group path by controller; version 2 has the empty name."""
    text = _read(root / "proc/self/cgroup")
    if text is None:
        return None
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), path)
    return found


def _version_2(root: Path, path: str) -> tuple[float | None, float | None]:
    """The tightest limit on the way from the group up to the root: every level holds."""
    cpus: list[float] = []
    memory: list[float] = []
    top = root / "sys/fs/cgroup"
    group = top / path.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(top):
            break
        quota, _, period = (_read(folder / "cpu.max") or "max").partition(" ")
        if quota.isdigit() and period.isdigit():
            cpus.append(int(quota) / int(period))
        limit = _read(folder / "memory.max") or "max"
        if limit.isdigit():
            memory.append(int(limit) / 2**20)
    return min(cpus, default=None), min(memory, default=None)


def _version_1(root: Path, groups: dict[str, str]) -> tuple[float | None, float | None]:
    cpus = memory = None
    if "cpu" in groups:
        folder = _mounted(root / "sys/fs/cgroup/cpu", groups["cpu"], "cpu.cfs_quota_us")
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        cpus = quota / period if quota and quota > 0 and period else None
    if "memory" in groups:
        folder = _mounted(root / "sys/fs/cgroup/memory", groups["memory"], "memory.limit_in_bytes")
        limit = _number(folder / "memory.limit_in_bytes")
        memory = limit / 2**20 if limit is not None and limit < _UNLIMITED else None
    return cpus, memory


def _mounted(top: Path, path: str, name: str) -> Path:
    """Inside a container the group is often mounted as the root, while /proc states its path outside."""
    folder = top / path.lstrip("/")
    return folder if (folder / name).exists() else top


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text and text.lstrip("-").isdigit() else None


def _kind(root: Path) -> str | None:
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    return _read(root / "run/systemd/container")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
