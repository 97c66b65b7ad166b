from pathlib import Path

import pytest

from harness.measure.energy import PackageEnergy


def a_package(root: Path, number: int, used_uj: int, around_uj: int = 1_000_000_000) -> Path:
    """A package as the kernel shows one, with a domain inside it that must not be counted twice."""
    path = root / f"intel-rapl:{number}"
    (root / f"intel-rapl:{number}:0").mkdir(parents=True, exist_ok=True)
    path.mkdir(exist_ok=True)
    for folder in (path, root / f"intel-rapl:{number}:0"):
        (folder / "energy_uj").write_text(f"{used_uj}\n")
        (folder / "max_energy_range_uj").write_text(f"{around_uj}\n")
    return path


def test_the_energy_of_all_packages_is_added(tmp_path: Path) -> None:
    for number in (0, 1):
        a_package(tmp_path, number, 1_000_000)
    energy = PackageEnergy(tmp_path)
    a_package(tmp_path, 0, 3_000_000)
    a_package(tmp_path, 1, 1_500_000)
    assert energy.since_last_j() == pytest.approx(2.5)
    assert energy.since_last_j() == 0


def test_a_counter_that_began_anew_is_followed(tmp_path: Path) -> None:
    a_package(tmp_path, 0, 900, around_uj=1000)
    energy = PackageEnergy(tmp_path)
    a_package(tmp_path, 0, 200, around_uj=1000)
    assert energy.since_last_j() == pytest.approx(300e-6)


def test_without_a_sensor_energy_is_unavailable_with_the_reason(tmp_path: Path) -> None:
    energy = PackageEnergy(tmp_path)
    assert energy.since_last_j() is None
    assert (energy.reason or "").startswith("no-sensor: ")


def test_a_sensor_that_may_not_be_read_is_unavailable_too(tmp_path: Path) -> None:
    (a_package(tmp_path, 0, 1) / "energy_uj").unlink()
    assert (PackageEnergy(tmp_path).reason or "").startswith("no-permission: ")
