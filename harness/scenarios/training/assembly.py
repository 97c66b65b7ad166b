"""Builds the training that a scenario asks for, and tells what it was built from."""

import shutil
from collections.abc import Collection
from pathlib import Path

from harness.controlloop.data import Source
from harness.controlloop.device import usable
from harness.controlloop.disktier.disk import CheckpointSettings, Disk
from harness.controlloop.snapshot import State
from harness.controlloop.tiers import Tier
from harness.controlloop.trainer import ModelFactory, Trainer, TrainerSettings
from harness.runner import Context


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


class Checkpoints:
    """Where the disk tier of a run lies, and its end: a folder of the run's own goes with the run."""

    def __init__(self, settings: CheckpointSettings, tiers: Collection[Tier], folder: str | None) -> None:
        """`folder` is kept, and what a training that was killed has left there can be gone on from; None: the run's."""
        if not tiers:
            raise ValueError("tiers should name memory, disk or both. Found none.")
        self._settings, self._folder = settings, folder
        self.memory, self.on_disk = "memory" in tiers, "disk" in tiers
        self._own: Path | None = None

    @property
    def are_kept(self) -> bool:
        """Whether checkpoints outlive the run."""
        return self.on_disk and self._folder is not None

    def open(self, state: State, context: Context) -> Disk | None:
        """The disk tier, None where there is none.

        Raises:
            BenchmarkFailed: another process uses the folder, or its log is damaged.
            StoreLost: the folder cannot be written.
        """
        if not self.on_disk:
            return None
        if self._folder is None:
            self._own = context.folder / "checkpoints"
        folder = self._own or Path(self._folder or "").expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        return Disk(state, folder, self._settings, context)

    def remove(self) -> None:
        """Removes the run's own folder, once nothing writes there."""
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)


def switches(settings: TrainerSettings) -> dict[str, float]:
    """Which of the trainer's accelerations were on, under the names of the catalogue."""
    return {
        "tolaria.train.amp_enabled": float(settings.amp != "disabled"),
        "tolaria.train.tf32_enabled": float(settings.tf32),
        "tolaria.train.foreach_enabled": float(settings.implementation == "foreach"),
        "tolaria.train.fused_enabled": float(settings.implementation == "fused"),
    }
