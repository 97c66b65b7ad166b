"""The device that tensors live on."""

import torch

from harness.errors import DeviceUnavailable


def usable(name: str) -> torch.device:
    """The torch device of that name.

    Raises:
        DeviceUnavailable: this torch sees no such device, whatever the driver says.
    """
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda or "none"
        raise DeviceUnavailable(
            f"device={name}: torch {torch.__version__} sees no GPU (its CUDA: {built})",
            "use device=cpu or device=auto",
        )
    if device.type not in ("cpu", "cuda"):
        raise DeviceUnavailable(f"device={name}: trainings run on cpu or cuda", "use device=cpu, or device=cuda")
    return device
