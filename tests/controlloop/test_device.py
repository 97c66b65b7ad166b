import pytest
import torch

from harness.controlloop.device import usable
from harness.errors import DeviceUnavailable


def test_the_cpu_is_always_there() -> None:
    assert usable("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_refused_with_the_next_step() -> None:
    with pytest.raises(DeviceUnavailable, match="sees no GPU") as caught:
        usable("cuda")
    assert caught.value.exit_code == 2
    assert "device=cpu" in caught.value.hint


def test_other_devices_are_refused_by_name() -> None:
    with pytest.raises(DeviceUnavailable, match="device=mps: trainings run on cpu or cuda"):
        usable("mps")
