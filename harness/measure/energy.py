"""Energy that the CPU packages of this host took, where the kernel tells it (RAPL, /sys/class/powercap)."""

from pathlib import Path

_ROOT = Path("/sys/class/powercap")


class PackageEnergy:
    """A counter over all packages; `reason` says why there is none, else it is None."""

    def __init__(self, root: Path = _ROOT) -> None:
        self._packages = sorted(path for path in root.glob("*-rapl:*") if path.name.count(":") == 1)
        self.reason = self._refusal(root)
        self._last_uj = self._read() if self.reason is None else []

    def _refusal(self, root: Path) -> str | None:
        if not self._packages:
            return f"no-sensor: {root} lists no package"
        try:
            self._read()
        except (OSError, ValueError) as error:
            return f"no-permission: {error}"
        return None

    def _read(self) -> list[int]:
        return [int((path / "energy_uj").read_text()) for path in self._packages]

    def since_last_j(self) -> float | None:
        """Joules since the last call, or since the counter was made; None where they cannot be told.

        The counters start again at their range; one that is lower than before has done so once.
        """
        if self.reason is not None:
            return None
        now = self._read()
        used = 0
        for path, before, after in zip(self._packages, self._last_uj, now, strict=True):
            around = int((path / "max_energy_range_uj").read_text()) if after < before else 0
            used += after - before + around
        self._last_uj = now
        return used / 1e6
