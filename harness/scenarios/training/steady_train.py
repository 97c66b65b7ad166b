"""Undisturbed training: how long epochs, steps and control hooks take when nothing goes wrong."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from harness.controlloop.data import Source
from harness.controlloop.disktier.disk import CheckpointSettings
from harness.controlloop.loop import ControlLoop
from harness.controlloop.reference import packed
from harness.controlloop.rollback import RestoreSettings, Rollback, SnapshotSettings
from harness.controlloop.tiers import Tier
from harness.controlloop.trainer import ModelFactory, TrainerSettings
from harness.measure.energy import PackageEnergy
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.settings import settled
from harness.scenarios.training.assembly import Checkpoints, build_trainer, switches

JOULES = "tolaria.step.joules"


class SteadyTrain:
    """One iteration is one whole training from the same first state, with snapshots taken and none restored."""

    def __init__(
        self,
        *,
        model: ModelFactory,
        data: Source,
        epochs: Annotated[int, Range(min=1)],
        steps: Annotated[int, Range(min=1)],
        trainer: TrainerSettings,
        snapshots: SnapshotSettings,
        restore: RestoreSettings,
        tiers: Sequence[Tier],
        checkpoints: CheckpointSettings,
        checkpoint_folder: str | None,
    ) -> None:
        self._model, self._data, self._settings = model, data, settled(TrainerSettings, trainer)
        self._epochs, self._steps = epochs, steps
        self._snapshots, self._restore = settled(SnapshotSettings, snapshots), settled(RestoreSettings, restore)
        self._checkpoints = Checkpoints(settled(CheckpointSettings, checkpoints), tiers, checkpoint_folder)
        self._loop: ControlLoop | None = None
        self._energy: PackageEnergy | None = None

    def setup(self, context: Context) -> None:
        """Loads the data, builds the model, moves its state into the arena."""
        trainer = build_trainer(
            context, self._model, self._data, self._settings, epochs=self._epochs, steps=self._steps
        )
        disk = self._checkpoints.open(trainer.state, context)
        rollback = Rollback(
            trainer.state, self._snapshots, self._restore, context, memory=self._checkpoints.memory, disk=disk
        )
        self._loop = ControlLoop(trainer, rollback, context, at_most=self._restore.at_most)
        self._energy = PackageEnergy()
        if self._energy.reason is not None:
            context.event("metric.unavailable", metric=JOULES, reason=self._energy.reason)

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Trains from the first state to the end."""
        assert self._loop is not None
        assert self._energy is not None
        self._loop.rewind()
        self._energy.since_last_j()
        losses = self._loop.run()
        joules = self._energy.since_last_j()
        context.fingerprint(packed(losses))
        each = {} if joules is None else {JOULES: joules / len(losses)}
        return self._loop.counters() | switches(self._settings) | each

    def teardown(self) -> None:
        """Ends what writes checkpoints."""
        if self._loop is not None:
            self._loop.rollback.close()
        self._checkpoints.remove()
