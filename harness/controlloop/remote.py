"""The trainer and its state as the control loop sees them when the steps are made in another process.

They have the face of `Trainer` and `TrainingState`, so the loop, the ring and the rollback are the same for both.
"""

import math
from collections.abc import Callable
from typing import Any

from harness.controlloop.arena import Arena, Layout
from harness.controlloop.faults import Fault
from harness.controlloop.shared import SharedArenas
from harness.controlloop.snapshot import Progress, RestoreFailed, Snapshot
from harness.controlloop.step_child import Blueprint
from harness.controlloop.step_process import StepProcesses
from harness.controlloop.trainer import Step, Trainer


class RemoteLive:
    """Which of the shared arenas is the live one."""

    def __init__(self, layout: Layout, arena: Arena) -> None:
        self.layout, self.arena = layout, arena


class RemoteState:
    """The training state, whose tensors this process can read and copy while another one trains on them."""

    def __init__(
        self, layout: Layout, progress: Progress, processes: StepProcesses, arenas: SharedArenas, run_id: str
    ) -> None:
        self.progress, self.run_id = progress, run_id
        self._processes, self._arenas = processes, arenas
        self._handed_out = 0
        self.live = RemoteLive(layout, arenas[0])
        self.latest = processes.activate(0, None)

    @property
    def bytes(self) -> int:
        """The size of one arena."""
        return self.live.layout.bytes

    def new_arena(self) -> Arena:
        """The next shared arena."""
        self._handed_out += 1
        return self._arenas[self._handed_out]

    def digest(self) -> str:
        """The hash of all live tensors."""
        return self.live.arena.digest()

    def capture(self, arena: Arena) -> Snapshot:
        """Copies the live state into `arena`; the step process is idle between two steps."""
        arena.copy_from(self.live.arena)
        return self._snapshot(arena, self.latest, self.progress.step, self.progress.epoch, self.run_id)

    def revive(self, arena: Arena, parts: dict[str, Any], *, step: int, epoch: int, run_id: str) -> Snapshot:
        """The snapshot whose tensors are, or will be, in `arena`, and whose parts are those that a file kept.

        Raises:
            RestoreFailed: these are not the parts of this training.
        """
        if parts.keys() != self.latest.keys():
            differing = sorted(parts.keys() ^ self.latest.keys())
            raise RestoreFailed(f"it and the live state differ in their parts: {differing}")
        return self._snapshot(arena, parts, step, epoch, run_id)

    def _snapshot(self, arena: Arena, parts: dict[str, Any], step: int, epoch: int, run_id: str) -> Snapshot:
        calls: list[tuple[Callable[[Any], object], Any]] = [(vars(self.progress).update, {"step": step})]
        return Snapshot(self, arena, parts, step, epoch, run_id, calls=calls)

    def adopt(self, snapshot: Snapshot) -> None:
        """Lets a step process go on in the snapshot's own memory.

        Raises:
            RestoreFailed: the snapshot is of another training or was given away, or the process ended; nothing changed.
        """
        self._check(snapshot)
        arena, live = snapshot.arena, self.live.arena
        slot, live_slot = self._arenas.slot_of(arena), self._arenas.slot_of(live)
        self.latest = self._processes.activate(slot, snapshot.parts)
        live.trade(arena)
        live.moved = arena.moved = True
        self._arenas.swapped(slot, live)
        self._arenas.swapped(live_slot, arena)
        snapshot.armed = False
        for call, value in snapshot.calls:
            call(value)

    def copy_back(self, snapshot: Snapshot) -> None:
        """Copies the snapshot into the live memory and lets a step process go on there.

        Raises:
            RestoreFailed: the snapshot is of another training or was given away, or the process ended.
        """
        self._check(snapshot)
        self.live.arena.copy_from(snapshot.arena)
        self.latest = self._processes.activate(self._arenas.slot_of(self.live.arena), snapshot.parts)
        for call, value in snapshot.calls:
            call(value)

    def _check(self, snapshot: Snapshot) -> None:
        if snapshot.owner is not self or not snapshot.armed:
            reason = "given away" if snapshot.owner is self else "that of another training"
            raise RestoreFailed(f"the snapshot of step {snapshot.step} cannot be restored: it is {reason}")


class RemoteTrainer:
    """Makes each step in a step process that is killed when the step is late."""

    def __init__(self, blueprint: Blueprint, local: Trainer, *, arenas: int, spares: int) -> None:
        """`local` is a trainer of the same blueprint in this process, for the layout; its state is not touched."""
        layout = local.state.live.layout
        self._shared = SharedArenas(layout, arenas)
        self.processes = StepProcesses(blueprint, self._shared, layout.bytes, spares=spares)
        self.progress = Progress(local.progress.steps_per_epoch)
        self.total_steps, self.samples_per_step = local.total_steps, local.samples_per_step
        self.state = RemoteState(layout, self.progress, self.processes, self._shared, blueprint.run_id)
        self._scaler_enabled = blueprint.settings.amp == "fp16"

    def step(self, fault: Fault | None = None, deadline_ns: int = 0) -> Step:
        """One step in the step process.

        Raises:
            StepFailed: it was late, or its process ended; the process has been killed.
            Exception: whatever the step raised.
        """
        kind = None
        if fault is not None:
            fault.happened, kind = True, fault.kind
        step: Step
        step, self.state.latest = self.processes.step(self.progress.step, kind, deadline_ns)
        return step

    def healthy(self, step: Step) -> bool:
        """Whether the step left a state worth going on from."""
        return math.isfinite(step.loss) and (math.isfinite(step.gradient_norm) or self._scaler_enabled)

    def advance(self) -> None:
        """Counts a healthy step; the step process sets the learning rate from the index of the next one."""
        self.progress.step += 1
        self.processes.tend()

    def accuracy(self) -> float:
        """The share of held-out targets predicted right."""
        return self.processes.accuracy()

    def close(self) -> None:
        """Ends the step processes."""
        self.processes.close()
        self._shared.close()
