"""Which device a run is for: checked before anything runs, and without importing torch."""

from harness.errors import DeviceUnavailable

SUPPORTED = ("cpu", "cuda")


def resolve(kind: str) -> str:
    """The device that `kind` means here: `auto` is cuda where the driver shows a GPU, else cpu.

    Raises:
        DeviceUnavailable: the kind is not supported, or the machine shows no such device; says why and what to do.
    """
    if kind == "cpu":
        return "cpu"
    if kind not in (*SUPPORTED, "auto"):
        raise DeviceUnavailable(
            f"device={kind}: this device is not supported by the harness", "use device=cpu, device=cuda or device=auto"
        )
    reason = missing_gpu_reason()
    if reason is None:
        return "cuda"
    if kind == "auto":
        return "cpu"
    raise DeviceUnavailable(f"device=cuda: no GPU can be used here: {reason}", "use device=cpu, or device=auto")


def missing_gpu_reason() -> str | None:
    """Why there is no NVIDIA GPU to use, None where there is one."""
    try:
        import pynvml
    except ImportError:
        return "the module pynvml (package nvidia-ml-py) is not installed"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return f"the NVIDIA driver does not answer ({error})"
    try:
        return None if pynvml.nvmlDeviceGetCount() else "the driver shows no device"
    finally:
        pynvml.nvmlShutdown()
