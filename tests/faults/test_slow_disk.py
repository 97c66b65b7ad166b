"""A disk of a few megabytes a second holds up neither training nor the decision that a restore is too late."""

import json
from pathlib import Path

import pytest

from harness.process.launcher import Launcher
from tests.disks import slow_disk

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
BYTES_PER_S = 4 << 20


def test_training_goes_on_while_a_slow_disk_writes_and_a_slow_restore_ends_at_its_deadline(tmp_path: Path) -> None:
    too_little_s = 0.2
    with slow_disk(tmp_path / "disk", bytes_per_s=BYTES_PER_S) as disk, Launcher() as launcher:
        order = {"place": str(disk.place), "group": str(disk.group), "too_little_s": too_little_s}
        preload = ["torch", "torch._dynamo", "numpy", "tests.faults.slow_training"]
        worker = launcher.spawn("tests.faults.slow_training:train", preload=preload, path=[str(ROOT)])
        worker.control.setblocking(True)
        worker.send(order)
        data, said = b"", b""
        while piece := worker.control.recv(1 << 20):
            data += piece
        while piece := worker.output.recv(1 << 16):
            said += piece
        worker.close()
    assert data, said.decode()
    found = json.loads(data)
    device_s = found["bytes"] / BYTES_PER_S
    assert found["flush_ms"][0] > device_s * 1e3 / 2, "the disk was not slow"
    assert found["steps"] > 3
    assert found["skipped"] > 0
    assert max(found["blocking_ms"]) < found["flush_ms"][0] / 10
    assert found["late"]["step"] is None
    assert found["late"]["elapsed_s"] < device_s / 2
    assert found["unchanged"]
    assert found["in_time"]["step"] == 0
