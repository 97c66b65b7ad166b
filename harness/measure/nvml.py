"""NVIDIA GPUs through NVML, with the reasons for their absence told apart; a failure is found once and remembered."""

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

REASONS = {
    "not-installed": "the module pynvml (package nvidia-ml-py) is not installed",
    "no-library": "no NVIDIA driver library on this machine",
    "driver-not-loaded": "the NVIDIA kernel driver is not loaded",
    "driver-mismatch": "driver library and kernel driver have different versions; a reboot after a driver update helps",
    "no-device": "the driver shows no device",
    "not-supported": "this GPU does not offer it",
    "no-permission": "the driver does not permit this user to read it",
}
_BY_ERROR = {
    "NVMLError_LibraryNotFound": "no-library",
    "NVMLError_DriverNotLoaded": "driver-not-loaded",
    "NVMLError_LibRmVersionMismatch": "driver-mismatch",
    "NVMLError_NoPermission": "no-permission",
    "NVMLError_NotSupported": "not-supported",
    "NVMLError_GpuNotFound": "no-device",
}


def reason_text(code: str) -> str:
    """A reason as it stands in results: its code, then what it means."""
    return f"{code}: {REASONS[code]}" if code in REASONS else code


def _reason_of(error: Exception) -> str:
    code = _BY_ERROR.get(type(error).__name__)
    return reason_text(code) if code else f"error: {error}"


def _library_is_missing() -> bool:
    """A cheap look before the import of pynvml, which costs 40 ms and is of no use without the library."""
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return True
    return False


@functools.cache
def connect() -> ModuleType | str:
    """The initialised module pynvml, or the reason why no GPU can be read here."""
    if importlib.util.find_spec("pynvml") is None:
        return reason_text("not-installed")
    if _library_is_missing():
        return reason_text("no-library")
    import pynvml

    module: ModuleType = pynvml
    try:
        pynvml.nvmlInit()
        return module if pynvml.nvmlDeviceGetCount() else reason_text("no-device")
    except pynvml.NVMLError as error:
        return _reason_of(error)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _handles(nvml: Any) -> list[tuple[int, Any]]:
    """The devices that `CUDA_VISIBLE_DEVICES` leaves, with their index; all where it names none that NVML knows.

    NVML counts in the order of the bus, as CUDA does with `CUDA_DEVICE_ORDER=PCI_BUS_ID`.
    """
    found = [(index, nvml.nvmlDeviceGetHandleByIndex(index)) for index in range(nvml.nvmlDeviceGetCount())]
    wanted = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    chosen = []
    for index, handle in found:
        names = (str(index), _text(nvml.nvmlDeviceGetUUID(handle)))
        if any(name == names[0] or (name.startswith("GPU-") and names[1].startswith(name)) for name in wanted):
            chosen.append((index, handle))
    return chosen or found


_FIELDS: dict[str, Callable[[Any, Any], float]] = {
    "utilization_percent": lambda nvml, device: float(nvml.nvmlDeviceGetUtilizationRates(device).gpu),
    "memory_mb": lambda nvml, device: nvml.nvmlDeviceGetMemoryInfo(device).used / 2**20,
    "power_w": lambda nvml, device: nvml.nvmlDeviceGetPowerUsage(device) / 1000,
    "temperature_c": lambda nvml, device: float(nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU)),
}
FIELDS = tuple(_FIELDS)
_SUMMED = ("memory_mb", "power_w")


class GpuSensors:
    """Utilisation, memory, power and temperature of the visible GPUs; a field that fails once is left out from then."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._devices: list[tuple[int, Any]] = []
        self._fields = dict(_FIELDS)
        connected = connect()
        if isinstance(connected, str):
            self._lose_all(connected)
            return
        self._nvml: Any = connected
        try:
            self._devices = _handles(connected)
        except self._nvml.NVMLError as error:
            self._lose_all(_reason_of(error))

    def _lose_all(self, reason: str) -> None:
        self.missing = {f"gpu.{field}": reason for field in _FIELDS}
        self._fields = {}

    def read(self) -> dict[str, float]:
        """`gpu.<field>` of all devices (memory and power summed, else the mean), of several also `gpu.<i>.<field>`."""
        found: dict[str, float] = {}
        for field in list(self._fields):
            try:
                values = {index: self._fields[field](self._nvml, device) for index, device in self._devices}
            except self._nvml.NVMLError as error:
                del self._fields[field]
                self.missing[f"gpu.{field}"] = _reason_of(error)
                continue
            total = sum(values.values())
            found[f"gpu.{field}"] = total if field in _SUMMED else total / len(values)
            if len(values) > 1:
                found |= {f"gpu.{index}.{field}": value for index, value in values.items()}
        return found


def describe() -> dict[str, Any]:
    """The GPUs of this machine with driver version, name and memory, or why there are none."""
    connected = connect()
    if isinstance(connected, str):
        return {"value": None, "status": "unavailable", "reason": connected}
    nvml: Any = connected
    try:
        devices = [_describe_device(nvml, index, device) for index, device in _handles(nvml)]
        return {"driver": _text(nvml.nvmlSystemGetDriverVersion()), "devices": devices}
    except nvml.NVMLError as error:
        return {"value": None, "status": "unavailable", "reason": _reason_of(error)}


def _describe_device(nvml: Any, index: int, device: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"index": index, "name": _text(nvml.nvmlDeviceGetName(device))}
    with contextlib.suppress(nvml.NVMLError):  # devices that share the host's memory have none of their own to state
        found["memory_mb"] = round(nvml.nvmlDeviceGetMemoryInfo(device).total / 2**20)
    return found
