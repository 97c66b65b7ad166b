"""Builds the training that a scenario asks for, and tells what it was built from."""

from collections.abc import Mapping
from typing import Any, TypeVar

from harness.controlloop.data import Source
from harness.controlloop.device import usable
from harness.controlloop.trainer import ModelFactory, Trainer, TrainerSettings
from harness.runner import Context

Settings = TypeVar("Settings")


def settled(kind: type[Settings], node: Settings | Mapping[str, Any]) -> Settings:
    """A group of settings as its dataclass; YAML gives a plain mapping, already checked against the same class."""
    return kind(**node) if isinstance(node, Mapping) else node


def build_trainer(
    context: Context, model: ModelFactory, data: Source, settings: TrainerSettings, *, epochs: int, steps: int
) -> Trainer:
    """A trainer of the run's seed on the run's device."""
    trainer = Trainer(
        model,
        data.load(context.seed),
        settings,
        epochs=epochs,
        steps_per_epoch=steps,
        seed=context.seed,
        device=usable(context.device),
        run_id=context.folder.name,
    )
    context.event(
        "tolaria.training.built",
        data=trainer.dataset.source,
        parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),
        state_tensors=len(trainer.state.live.tensors),
        state_bytes=trainer.state.bytes,
        state_hash=trainer.state.digest(),
    )
    if trainer.device.type == "cpu":
        context.event(
            "metric.unavailable",
            metric="tolaria.step.h2d_copy_ms",
            reason="the device is the CPU: batches are used where they lie",
        )
    return trainer


def switches(settings: TrainerSettings) -> dict[str, float]:
    """Which of the trainer's accelerations were on, under the names of the catalogue."""
    return {
        "tolaria.train.amp_enabled": float(settings.amp != "disabled"),
        "tolaria.train.tf32_enabled": float(settings.tf32),
        "tolaria.train.foreach_enabled": float(settings.implementation == "foreach"),
        "tolaria.train.fused_enabled": float(settings.implementation == "fused"),
    }
