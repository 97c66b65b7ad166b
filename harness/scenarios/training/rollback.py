"""A step fails and the last good state is restored: from where, how long it takes, and whether it is that state."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from harness.controlloop.data import Source
from harness.controlloop.deadline import StepDeadline
from harness.controlloop.disktier.disk import CheckpointSettings, Disk
from harness.controlloop.emergency import Halted
from harness.controlloop.faults import STUCK, Fault, FaultPlan
from harness.controlloop.loop import ControlLoop
from harness.controlloop.reference import Reference, identical, packed, undisturbed
from harness.controlloop.remote import RemoteTrainer
from harness.controlloop.rollback import Restored, RestoreSettings, Rollback, SnapshotSettings
from harness.controlloop.step_child import Blueprint
from harness.controlloop.tiers import Tier
from harness.controlloop.trainer import ModelFactory, Trainer, TrainerSettings
from harness.errors import BenchmarkFailed
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.settings import settled
from harness.scenarios.training.assembly import Checkpoints, build_trainer, switches
from harness.scenarios.training.going_on import go_on


class RollbackTrain:
    """One iteration is one whole training with one fault in it, compared loss by loss with an undisturbed one."""

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
        tiers_in_turn: bool,
        step_deadline: StepDeadline,
        fault: FaultPlan,
        step_process: bool,
        spares: Annotated[int, Range(min=1)],
    ) -> None:
        self._model, self._data, self._settings = model, data, settled(TrainerSettings, trainer)
        self._epochs, self._steps = epochs, steps
        self._snapshots, self._restore = settled(SnapshotSettings, snapshots), settled(RestoreSettings, restore)
        self._step_deadline, self._plan = settled(StepDeadline, step_deadline), settled(FaultPlan, fault)
        self._step_process, self._spares = step_process, spares
        self._checkpoints = Checkpoints(settled(CheckpointSettings, checkpoints), tiers, checkpoint_folder)
        if tiers_in_turn and not (self._checkpoints.memory and self._checkpoints.on_disk):
            raise ValueError(f"tiers_in_turn needs both tiers. Found tiers = {list(tiers)}.")
        self._tiers_in_turn = tiers_in_turn
        self._remote: RemoteTrainer | None = None
        self._loop: ControlLoop | None = None
        if not self._plan.kinds:
            raise ValueError("fault.kind should name at least one kind. Found none.")
        stuck = [kind for kind in self._plan.kinds if kind in STUCK]
        if stuck and not step_process:
            raise ValueError(
                f"a fault of kind {stuck[0]} does not return, so it needs a step process. Found step_process = False."
            )
        if self._plan.epoch > epochs or self._plan.step > steps:
            raise ValueError(
                f"fault should lie within {epochs} epochs of {steps} steps. "
                f"Found epoch {self._plan.epoch}, step {self._plan.step}."
            )

    def setup(self, context: Context) -> None:
        """Builds the training, runs it once undisturbed for the losses to compare with, calibrates the deadline."""
        trainer = build_trainer(
            context, self._model, self._data, self._settings, epochs=self._epochs, steps=self._steps
        )
        first = trainer.state.capture(trainer.state.new_arena())
        self._reference = undisturbed(trainer, trainer.total_steps)
        trainer.state.copy_back(first)
        self._deadline_ms = self._calibrate(context, self._reference)
        stepper = self._remote_of(trainer, context) if self._step_process else trainer
        disk = self._checkpoints.open(stepper.state, context)
        self._loop = self._build_loop(context, stepper, disk)
        if disk is not None and self._checkpoints.are_kept:
            go_on(self._loop, disk, self._reference, context)

    def _remote_of(self, trainer: Trainer, context: Context) -> RemoteTrainer:
        """The same training with its steps made in a process that can be killed."""
        blueprint = Blueprint(
            self._model,
            self._data,
            self._settings,
            self._epochs,
            self._steps,
            context.seed,
            context.device,
            context.threads,
            context.folder.name,
            context.deterministic,
        )
        # Beside the ring's slots: the live state, the first state, to which every training goes back, and the memory
        # that a checkpoint is read into.
        arenas = 2 + self._checkpoints.on_disk + (self._snapshots.slots if self._checkpoints.memory else 0)
        self._remote = RemoteTrainer(blueprint, trainer, arenas=arenas, spares=self._spares)
        context.event("tolaria.step.process_started", pid=self._remote.processes.pid)
        return self._remote

    def _calibrate(self, context: Context, reference: Reference) -> float:
        deadline_ms = self._step_deadline.calibrate(reference.latencies_ms)
        context.event(
            "tolaria.step.deadline_calibrated", deadline_ms=round(deadline_ms, 3), steps=len(reference.latencies_ms)
        )
        return deadline_ms

    def _build_loop(self, context: Context, trainer: Trainer | RemoteTrainer, disk: Disk | None) -> ControlLoop:
        rollback = Rollback(
            trainer.state,
            self._snapshots,
            self._restore,
            context,
            memory=self._checkpoints.memory,
            disk=disk,
            in_turn=self._tiers_in_turn,
            expected=self._reference.digests.__getitem__,
        )
        return ControlLoop(
            trainer,
            rollback,
            context,
            at_most=self._restore.at_most,
            deadline_ms=self._deadline_ms,
            fault=Fault(self._plan, self._steps),
        )

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Trains from the first state to the end, through the fault; the counters are kept also where that fails."""
        assert self._loop is not None
        self._loop.rewind()
        try:
            losses = self._loop.run()
        except Halted:
            return self._loop.counters() | switches(
                self._settings
            )  # an outcome: the rules say whether it is the right one
        except Exception:
            for name, value in self._loop.counters().items():
                context.record(name, value)
            raise
        context.fingerprint(packed(losses))
        return self._loop.counters() | switches(self._settings) | self._compare(losses, self._loop.rollback.restored)

    def _compare(self, losses: list[float], restored: Sequence[Restored]) -> dict[str, float]:
        """The losses after the restore against those of the undisturbed training at the same steps."""
        if not restored:
            raise BenchmarkFailed("the fault did not happen, or nobody noticed it: no state was restored")
        since = min(done.to_step for done in restored)
        same = identical(losses[since:], self._reference.losses[since:])
        return {
            "tolaria.rollback.identical_losses": same,
            "tolaria.rollback.diverged_losses": len(self._reference.losses) - since - same,
            "tolaria.step.deadline_ms": self._deadline_ms,
        }

    def teardown(self) -> None:
        """Ends what writes checkpoints, and the step processes."""
        if self._loop is not None:
            self._loop.rollback.close()
        if self._remote is not None:
            self._remote.close()
        self._checkpoints.remove()
