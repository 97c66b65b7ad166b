"""What a snapshot holds, and how a state is captured and taken back as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from harness.controlloop.arena import Allocate, Arena, LiveState, allocate, state_tensors
from harness.errors import BenchmarkFailed

FORMAT = 1  # 1: tensors in an arena; parts progress, groups, rng, loader, scaler and those added


class RestoreFailed(BenchmarkFailed):
    """A snapshot could not be taken back; the state is as it was, or unusable until another restore succeeds."""


class Part(Protocol):
    """Something beside the tensors that a training needs in order to go on as if nothing had happened."""

    def state(self) -> Any:
        """A value that later changes of the part do not reach."""

    def restore(self, state: Any) -> None:
        """Goes back to a value of `state`; must leave the value as it is, for it may be needed again."""


@dataclass
class Progress:
    """How far a training is: `step` counts optimizer steps from its beginning."""

    steps_per_epoch: int
    step: int = 0

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self.step // self.steps_per_epoch

    def state(self) -> int:
        """The step."""
        return self.step

    def restore(self, state: int) -> None:
        """Counts on from there."""
        self.step = state


class ParamGroups:
    """Learning rate, betas, weight decay of each group; tensors among them live in the arena."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._groups = optimizer.param_groups

    def state(self) -> list[dict[str, Any]]:
        """All settings of all groups but the parameters themselves."""
        return [
            {key: value for key, value in group.items() if key != "params" and not isinstance(value, Tensor)}
            for group in self._groups
        ]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Sets them back."""
        for group, saved in zip(self._groups, state, strict=True):
            group.update(saved)


class Scaler:
    """The loss scale of automatic mixed precision, which adapts as training goes."""

    def __init__(self, scaler: torch.amp.GradScaler) -> None:
        self._scaler = scaler

    def state(self) -> dict[str, Any]:
        """Scale, growth and its tracker; empty where scaling is switched off."""
        return dict(self._scaler.state_dict())

    def restore(self, state: dict[str, Any]) -> None:
        """Sets them back."""
        if state:
            self._scaler.load_state_dict(state)


@dataclass
class Snapshot:
    """One whole training state at a step boundary.

    `good` says that a healthy step was made from exactly this state. `armed` says that the arena still holds it: adopting
    a snapshot gives its memory away.
    """

    arena: Arena
    parts: dict[str, Any]
    step: int
    epoch: int
    run_id: str
    format: int = FORMAT
    good: bool = False
    armed: bool = True


class TrainingState:
    """Everything a training depends on: its tensors in one arena, and the parts beside them."""

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        parts: Mapping[str, Part],
        *,
        run_id: str,
        allocate: Allocate = allocate,
    ) -> None:
        """Moves the tensors into an arena. `parts` by name; the order is that of restoring, progress and groups first."""
        self._model, self._optimizer = model, optimizer
        self.progress, self.run_id = progress, run_id
        self.parts: dict[str, Part] = {"progress": progress, "groups": ParamGroups(optimizer), **parts}
        self._allocate = allocate
        self.live = LiveState(state_tensors(model, optimizer), allocate)

    @property
    def bytes(self) -> int:
        """The size of one arena."""
        return self.live.layout.bytes

    def new_arena(self) -> Arena:
        """Memory for one more state, touched."""
        return Arena(self.live.layout, self._allocate)

    def digest(self) -> str:
        """The hash of all live tensors."""
        return self.live.arena.digest()

    def capture(self, arena: Arena) -> Snapshot:
        """Copies the live state into `arena`.

        Raises:
            BenchmarkFailed: a tensor of the model or optimizer was replaced, so the arena is not what training works on.
        """
        if strays := self.live.strays(state_tensors(self._model, self._optimizer)):
            raise BenchmarkFailed(
                f"{len(strays)} tensors left the arena, the first is {strays[0]!r}",
                "copy into the tensors instead of replacing them; Optimizer.load_state_dict replaces them",
            )
        arena.copy_from(self.live.arena)
        parts = {name: part.state() for name, part in self.parts.items()}
        return Snapshot(arena, parts, self.progress.step, self.progress.epoch, self.run_id)

    def adopt(self, snapshot: Snapshot) -> None:
        """Makes the snapshot's own memory the live state, in a time that does not depend on its size.

        Raises:
            RestoreFailed: it does not fit this training, or was given away before; nothing changed.
            Exception: what a part raised; the tensors are as before.
        """
        self._check(snapshot)
        self.live.exchange(snapshot.arena)
        snapshot.armed = False
        try:
            self._restore_parts(snapshot.parts)
        except BaseException:
            self.live.exchange(snapshot.arena)
            snapshot.armed = True
            raise

    def copy_back(self, snapshot: Snapshot) -> None:
        """Copies the snapshot into the live state, whose addresses stay: what a captured CUDA graph needs.

        Raises:
            RestoreFailed: it does not fit this training, or was given away; nothing changed.
        """
        self._check(snapshot)
        self.live.arena.copy_from(snapshot.arena)
        self._restore_parts(snapshot.parts)

    def _restore_parts(self, saved: Mapping[str, Any]) -> None:
        for name, part in self.parts.items():
            part.restore(saved[name])

    def _check(self, snapshot: Snapshot) -> None:
        problem = _misfit(self, snapshot)
        if problem:
            raise RestoreFailed(f"the snapshot of step {snapshot.step} cannot be restored: {problem}")


def _misfit(state: TrainingState, snapshot: Snapshot) -> str | None:
    """Why a snapshot is not one of this training, None where it is."""
    if snapshot.format != FORMAT:
        return f"its format is {snapshot.format}, this program writes {FORMAT}"
    if snapshot.run_id != state.run_id:
        return f"it belongs to the run {snapshot.run_id}"
    if snapshot.arena.layout is not state.live.layout:
        return "its tensors lie elsewhere"
    if snapshot.parts.keys() != state.parts.keys():
        return f"it holds the parts {', '.join(snapshot.parts)}"
    return None if snapshot.armed else "its memory was given away by an earlier restore"
