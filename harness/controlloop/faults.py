"""Faults of a training step; those that return are done here, those that do not in the step process."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from torch import Tensor

from harness.ranges import Range

if TYPE_CHECKING:
    from harness.controlloop.trainer import Trainer

FaultKind = Literal[
    "nan_loss", "exception", "late_step", "stuck_call", "gil_loop", "big_matmul", "killed_worker", "fork_bomb_refused"
]
# These do not return, or take their process along, so they need a step process.
STUCK: tuple[FaultKind, ...] = ("stuck_call", "gil_loop", "big_matmul", "killed_worker", "fork_bomb_refused")
LATE: tuple[FaultKind, ...] = ("late_step", "stuck_call", "gil_loop", "big_matmul")  # these miss the step's deadline


class StepFailed(Exception):
    """A step that will not come back: late and killed, or its process ended by itself."""

    def __init__(self, reason: str, since_ns: int, pid: int) -> None:
        super().__init__(f"{reason} in step process {pid}")
        self.reason, self.since_ns, self.pid = reason, since_ns, pid


class PlannedError(RuntimeError):
    """What the planned exception raises; told apart from an error that nobody planned."""


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """Which fault happens where; epochs and the steps in them are counted from 1.

    Of several kinds, each training has the next one.
    """

    epoch: Annotated[int, Range(min=1)]
    step: Annotated[int, Range(min=1)]
    kind: FaultKind | Sequence[FaultKind]

    @property
    def kinds(self) -> tuple[FaultKind, ...]:
        """The kinds, in their order."""
        return (self.kind,) if isinstance(self.kind, str) else tuple(self.kind)


class Fault:
    """A planned fault, which happens once in a training."""

    def __init__(self, plan: FaultPlan, steps_per_epoch: int) -> None:
        self._kinds = plan.kinds
        self._trainings = 0
        self.kind: FaultKind = self._kinds[0]
        self.at = (plan.epoch - 1) * steps_per_epoch + plan.step - 1
        self.happened = False
        self.extra_passes = 0

    def due(self, step: int) -> bool:
        """Whether the step with this index is the one."""
        return not self.happened and step == self.at

    def before_forward(self, trainer: "Trainer") -> None:
        """`nan_loss`: one weight becomes NaN, as a flipped bit would make it; the loss follows by itself."""
        self.happened = True
        self.extra_passes = 0
        if self.kind == "nan_loss":
            with torch.no_grad():
                next(reversed(list(trainer.model.parameters()))).view(-1)[0] = float("nan")

    def before_update(self, trainer: "Trainer") -> None:
        """`exception`: the second half of the weights will not be updated, so the state is torn when it is raised."""
        if self.kind == "exception":
            parameters = list(trainer.model.parameters())
            for parameter in parameters[len(parameters) // 2 :]:
                parameter.grad = None

    def after_update(self, trainer: "Trainer", batch: tuple[Tensor, Tensor], late_at_ns: int) -> None:
        """`exception`: raised in the middle of the update. `late_step`: works past the deadline.

        Raises:
            PlannedError: the planned exception.
        """
        if self.kind == "exception":
            raise PlannedError(f"planned at step {self.at}, when half of the weights were updated")
        while self.kind == "late_step" and time.perf_counter_ns() <= late_at_ns:
            trainer.backward(batch)  # real passes: they move batch norm's statistics and the random generators on
            self.extra_passes += 1

    def rewind(self) -> None:
        """Plans it again, or the next kind, for the next training."""
        self.kind = self._kinds[self._trainings % len(self._kinds)]
        self._trainings += 1
        self.happened = False
        self.extra_passes = 0
