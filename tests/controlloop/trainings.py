"""Small real trainings, and someone to listen to them."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from harness.controlloop import models
from harness.controlloop.data import Dataset, Synthetic, Text
from harness.controlloop.faults import Fault, FaultKind, FaultPlan
from harness.controlloop.loop import ControlLoop
from harness.controlloop.ring import Method
from harness.controlloop.rollback import RestoreSettings, Rollback, SnapshotSettings
from harness.controlloop.trainer import ModelFactory, Trainer, TrainerSettings

CPU = torch.device("cpu")
EPOCHS, STEPS = 2, 8
SETTINGS = TrainerSettings(
    batch_size=8,
    accumulate=1,
    optimizer="adamw",
    implementation="fused",
    learning_rate=0.01,
    warmup_steps=4,
    clip_norm=1.0,
    amp="disabled",
    tf32=False,
)
SNAPSHOTS = SnapshotSettings(every=3, slots=3, cap_mb=None)
RESTORE = RestoreSettings(method="adopt", deadline_ms=500.0, memory_ms=None, disk_ms=None, at_most=3)

MLP: ModelFactory = functools.partial(models.mlp, embedding=4, hidden=16, layers=1, norm="batch", dropout=0.2)
TRANSFORMER: ModelFactory = functools.partial(models.transformer, width=8, layers=1, heads=2, dropout=0.2)


@dataclass
class Told:
    """Keeps everything that a control loop tells."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    cancelled: bool = False

    def record(self, metric: str, value: float) -> None:
        """Keeps a sample."""
        self.samples.setdefault(metric, []).append(value)

    def event(self, name: str, /, **attributes: Any) -> None:
        """Keeps an event."""
        self.events.append((name, attributes))

    def named(self, name: str) -> list[Mapping[str, Any]]:
        """The attributes of all events of a name."""
        return [attributes for event, attributes in self.events if event == name]


def text() -> Dataset:
    """A few hundred windows of eight bytes."""
    return Text(bytes((i * i + i // 7) % 251 for i in range(2000)), context=8, stride=4, held_out=32, files=1)


def vectors() -> Dataset:
    """Rows that a linear model can learn."""
    return Synthetic(rows=512, features=6, classes=3, noise=0.1, held_out=64).load(1)


def trainer(model: ModelFactory = MLP, data: Dataset | None = None, *, seed: int = 3, **changes: Any) -> Trainer:
    """A training of two epochs of eight steps."""
    settings = replace(SETTINGS, **changes)
    return Trainer(
        model, data or text(), settings, epochs=EPOCHS, steps_per_epoch=STEPS, seed=seed, device=CPU, run_id="run"
    )


def fault(kind: FaultKind, step: int = 5) -> Fault:
    """A fault in the second epoch."""
    return Fault(FaultPlan(epoch=2, step=step, kind=kind), STEPS)


def loop(
    training: Trainer,
    told: Told,
    *,
    kind: FaultKind | None = None,
    method: Method = "adopt",
    expected: list[str] | None = None,
    rollback: type[Rollback] = Rollback,
) -> ControlLoop:
    """A control loop, with a fault and the hashes of an undisturbed training where given.

    Only a late step has a deadline to miss, and a long one, so that a busy host makes no other step late.
    """
    deadline_ms = 250.0 if kind == "late_step" else None
    look_up = None if expected is None else expected.__getitem__
    restore = replace(RESTORE, method=method)
    owner = rollback(training.state, SNAPSHOTS, restore, told, expected=look_up)
    planned = None if kind is None else fault(kind)
    return ControlLoop(training, owner, told, at_most=restore.at_most, deadline_ms=deadline_ms, fault=planned)
