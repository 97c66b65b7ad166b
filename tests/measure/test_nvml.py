import importlib.util
import json
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from harness.measure import nvml
from harness.measure.telemetry import TreeSampler


class NVMLError(Exception):
    pass


def fake(gpus: list[dict[str, Any]], fails: dict[str, str] | None = None) -> types.ModuleType:
    """A stand-in for pynvml with these GPUs; `fails` maps a function to the class name of the error it raises."""
    module = types.ModuleType("pynvml")
    failing = fails or {}

    def answer(name: str, value: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if name in failing:
                raise type(failing[name], (NVMLError,), {})("as told")
            return value(*arguments)

        return call

    def add(name: str, value: Any) -> None:
        setattr(module, name, answer(name, value))

    module.NVMLError = NVMLError  # type: ignore[attr-defined]
    module.NVML_TEMPERATURE_GPU = 0  # type: ignore[attr-defined]
    add("nvmlInit", lambda: None)
    add("nvmlDeviceGetCount", lambda: len(gpus))
    add("nvmlDeviceGetHandleByIndex", lambda index: gpus[index])
    add("nvmlDeviceGetUUID", lambda gpu: gpu["uuid"])
    add("nvmlDeviceGetName", lambda gpu: gpu["name"].encode())
    add("nvmlDeviceGetUtilizationRates", lambda gpu: types.SimpleNamespace(gpu=gpu["busy"]))
    add("nvmlDeviceGetMemoryInfo", lambda gpu: types.SimpleNamespace(used=gpu["used"] << 20, total=80 << 30))
    add("nvmlDeviceGetPowerUsage", lambda gpu: gpu["watts"] * 1000)
    add("nvmlDeviceGetTemperature", lambda gpu, kind: 40)
    add("nvmlSystemGetDriverVersion", lambda: "580.1")
    return module


ONE: dict[str, Any] = {"uuid": "GPU-aaaa-1", "name": "Ay", "busy": 90, "used": 1000, "watts": 300}
TWO: dict[str, Any] = {"uuid": "GPU-bbbb-2", "name": "Bee", "busy": 10, "used": 500, "watts": 100}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    nvml.connect.cache_clear()
    monkeypatch.setattr(nvml, "_library_is_missing", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield
    nvml.connect.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, module: types.ModuleType) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("NVMLError_LibraryNotFound", "no-library: "),
        ("NVMLError_DriverNotLoaded", "driver-not-loaded: "),
        ("NVMLError_LibRmVersionMismatch", "driver-mismatch: "),
        ("NVMLError_NoPermission", "no-permission: "),
        ("NVMLError_Unknown", "error: as told"),
    ],
)
def test_reasons_for_no_gpu_are_told_apart(monkeypatch: pytest.MonkeyPatch, error: str, reason: str) -> None:
    install(monkeypatch, fake([ONE], {"nvmlInit": error}))
    sensors = nvml.GpuSensors()
    assert sensors.read() == {}
    assert set(sensors.missing) == {f"gpu.{field}" for field in nvml.FIELDS}
    assert all(text.startswith(reason) for text in sensors.missing.values())
    assert nvml.describe()["reason"].startswith(reason)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert str(nvml.connect()).startswith("not-installed: ")


def test_a_missing_library_is_told_without_importing_pynvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import would fail
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(nvml, "_library_is_missing", lambda: True)
    assert str(nvml.connect()).startswith("no-library: ")


def test_a_driver_without_a_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake([]))
    assert str(nvml.connect()).startswith("no-device: ")


def test_one_gpu_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake([ONE]))
    assert nvml.GpuSensors().read() == {
        "gpu.utilization_percent": 90,
        "gpu.memory_mb": 1000,
        "gpu.power_w": 300,
        "gpu.temperature_c": 40,
    }


def test_several_gpus_are_read_together_and_each(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake([ONE, TWO]))
    found = nvml.GpuSensors().read()
    assert (found["gpu.utilization_percent"], found["gpu.memory_mb"], found["gpu.power_w"]) == (50, 1500, 400)
    assert (found["gpu.0.power_w"], found["gpu.1.power_w"]) == (300, 100)


@pytest.mark.parametrize("visible", ["1", "GPU-bbbb", " 1 ,9"])
def test_only_the_visible_gpus_are_read(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    install(monkeypatch, fake([ONE, TWO]))
    assert nvml.GpuSensors().read()["gpu.memory_mb"] == 500
    assert [gpu["name"] for gpu in nvml.describe()["devices"]] == ["Bee"]


def test_a_field_that_is_not_supported_is_missing_and_the_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake([ONE], {"nvmlDeviceGetPowerUsage": "NVMLError_NotSupported"}))
    sensors = nvml.GpuSensors()
    assert "gpu.power_w" not in sensors.read()
    assert sensors.missing == {"gpu.power_w": nvml.reason_text("not-supported")}
    assert sensors.read()["gpu.utilization_percent"] == 90


def test_the_gpus_reach_the_telemetry_of_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake([ONE, TWO], {"nvmlDeviceGetTemperature": "NVMLError_NotSupported"}))
    import os

    sampler = TreeSampler(os.getpid())
    sampler.sample()
    sensors = json.loads(json.dumps(sampler.summary()))["sensors"]
    assert sensors["gpu.power_w"]["value"] == 400
    assert sensors["gpu.1.memory_mb"]["unit"] == sensors["gpu.memory_mb"]["unit"] == "MiB"
    assert sensors["gpu.temperature_c"]["reason"].startswith("not-supported")


def test_gpus_are_described_for_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake([ONE]))
    assert nvml.describe() == {"driver": "580.1", "devices": [{"index": 0, "name": "Ay", "memory_mb": 81920}]}
