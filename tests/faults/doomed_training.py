"""A training in a worker, which kills itself or its step process at a counted moment, or goes on from what was left."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.controlloop import step_child, step_process
from harness.controlloop.data import Dataset
from harness.controlloop.disktier.disk import CheckpointSettings, Disk
from harness.controlloop.faults import Fault, FaultPlan
from harness.controlloop.loop import ControlLoop
from harness.controlloop.reference import undisturbed
from harness.controlloop.remote import RemoteTrainer
from harness.controlloop.rollback import RestoreSettings, Rollback, SnapshotSettings
from harness.controlloop.snapshot import RestoreFailed
from harness.controlloop.step_child import Blueprint
from harness.journal.files import Files
from harness.process.channel import Channel
from harness.scenarios.training.going_on import go_on
from tests.controlloop import trainings

CHECKPOINTS = CheckpointSettings(every=2, keep=3, threads=2, strict=True)
SNAPSHOTS = SnapshotSettings(every=3, slots=3, cap_mb=None)
RESTORE = RestoreSettings(method="adopt", deadline_ms=60_000, memory_ms=None, disk_ms=None, at_most=20)
SLOTS = 3


@dataclass(frozen=True)
class Windows:
    """The text of the other tests, as a source that a step process can load too."""

    def load(self, seed: int) -> Dataset:
        return trainings.text()


class Moments:
    """Counts what happens around checkpoints, restores and adoptions, and kills at one of these moments."""

    def __init__(self, fatal: int, victim: str) -> None:
        self.count, self.fatal, self.victim = 0, fatal, victim
        self.step_process: Callable[[], int] = lambda: 0
        self.names: list[str] = []

    def pass_by(self, name: str) -> None:
        self.count += 1
        self.names.append(name)
        if self.count != self.fatal:
            return
        pid = os.getpid() if self.victim == "worker" else self.step_process()
        if pid:
            os.kill(pid, signal.SIGKILL)

    def around(self, owner: Any, method: str) -> None:
        """Makes the beginning and the end of a method moments."""
        called = getattr(owner, method)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.pass_by(f"before {method}")
            result = called(*arguments, **named)
            self.pass_by(f"after {method}")
            return result

        setattr(owner, method, counted)


class CountedFiles(Files):
    """Each change of the disk is a moment."""

    def __init__(self, moments: Moments) -> None:
        self._moments = moments

    def about_to(self, step: str, path: Path) -> None:
        self._moments.pass_by(step)


def blueprint() -> Blueprint:
    return Blueprint(
        trainings.MLP, Windows(), trainings.SETTINGS, trainings.EPOCHS, trainings.STEPS, 3, "cpu", 1, "run"
    )


def lose_spares(channel: Channel) -> int:
    """Kills as many spares as it is told to when they begin to build; answers whether a step was made after all."""
    torch.set_num_threads(1)
    order = channel.receive() or {}
    remote = RemoteTrainer(blueprint(), blueprint().build(), arenas=2, spares=1)
    good = remote.state.capture(remote.state.new_arena())
    killed: list[int] = []
    send = step_process.Task.send

    def doomed(task: Any, function: Any, arguments: Any) -> None:
        send(task, function, arguments)
        if function is step_child.prepare and len(killed) < order["deaths"]:
            killed.append(task.worker.pid)
            os.kill(task.worker.pid, signal.SIGKILL)

    step_process.Task.send = doomed  # type: ignore[method-assign]
    answer: dict[str, Any] = {"killed": killed}
    try:
        for _ in range(2):  # the first spare was built before the killing began
            remote.processes.discard()
            remote.state.copy_back(good)
        answer["loss"] = remote.step().loss
    except RestoreFailed as error:
        answer["failed"] = str(error)
    remote.close()
    channel.send(answer)
    return 0


def train(channel: Channel) -> int:
    """Does what the one message asks for: {folder, fatal, victim, tiers, resume}; answers with what came of it."""
    torch.set_num_threads(1)
    order = channel.receive() or {}
    local = blueprint().build()
    first = local.state.capture(local.state.new_arena())
    reference = undisturbed(local, local.total_steps)
    local.state.copy_back(first)
    moments = Moments(int(order["fatal"]), order["victim"])
    remote = RemoteTrainer(blueprint(), local, arenas=SLOTS + 3, spares=1)
    moments.step_process = lambda: remote.processes.pid
    told = trainings.Told()
    disk = Disk(remote.state, Path(order["folder"]), CHECKPOINTS, told, files=CountedFiles(moments))
    memory = "memory" in order["tiers"]
    rollback = Rollback(
        remote.state, SNAPSHOTS, RESTORE, told, memory=memory, disk=disk, expected=reference.digests.__getitem__
    )
    fault = Fault(FaultPlan(epoch=2, step=4, kind="exception"), trainings.STEPS)
    loop = ControlLoop(remote, rollback, told, at_most=RESTORE.at_most, fault=fault)
    if order["resume"]:
        go_on(loop, disk, reference, told)
        losses = reference.losses
    else:
        moments.around(remote.state, "adopt")
        moments.around(remote.processes, "activate")
        moments.around(disk, "load")
        losses = loop.run()
    resumed = [dict(event) for event in told.named("tolaria.rollback.resumed")]
    answer = {
        "identical": losses == reference.losses,
        "restored": len(rollback.restored),
        "moments": moments.names,
        "resumed": resumed,
        "ended": len(told.named("tolaria.step.process_ended")),
    }
    rollback.close()
    remote.close()
    channel.send(answer)
    return 0
