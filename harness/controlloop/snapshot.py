"""What a snapshot holds, and how a state is captured and taken back as a whole."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from harness.controlloop.arena import Allocate, Arena, Call, LiveState, allocate, homes
from harness.errors import BenchmarkFailed

FORMAT = 1  # 1: tensors in an arena; parts progress, groups, rng.*, loader, scaler and those added


class RestoreFailed(BenchmarkFailed):
    """A snapshot could not be taken back; the state is as it was, or unusable until another restore succeeds."""


class Part(Protocol):
    """Something beside the tensors that a training needs in order to go on as if nothing had happened."""

    def state(self) -> Any:
        """A value that later changes of the part do not reach."""

    def calls(self, state: Any, /) -> Iterable[Call]:
        """The calls that set the part back to `state` as often as they are made, without changing it.

        They are found when a snapshot is captured, so that a restore only makes them: with cold caches every Python
        function on the way costs 2 µs. A part with a `restore` of its own gives `[(self.restore, state)]`.
        """


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

    def calls(self, state: int) -> Iterable[Call]:
        """Counts on from there."""
        return [(vars(self).update, {"step": state})]


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

    def calls(self, state: list[dict[str, Any]]) -> Iterable[Call]:
        """Sets them back."""
        return [(group.update, saved) for group, saved in zip(self._groups, state, strict=True)]


class Scaler:
    """The loss scale of automatic mixed precision, which adapts as training goes."""

    def __init__(self, scaler: torch.amp.GradScaler) -> None:
        self._scaler = scaler

    def state(self) -> dict[str, Any]:
        """Scale, growth and its tracker; empty where scaling is switched off."""
        return dict(self._scaler.state_dict())

    def calls(self, state: dict[str, Any]) -> Iterable[Call]:
        """Sets them back, where there is anything to set."""
        return [(self._restore, state)] if state else []

    def _restore(self, state: dict[str, Any]) -> None:
        self._scaler.load_state_dict(state)
        self._scaler._per_optimizer_states.clear()  # else a step that broke off after unscaling blocks all later ones


@dataclass(eq=False, slots=True)
class Snapshot:
    """One whole training state at a step boundary.

    `good` says that a healthy step was made from exactly this state. `armed` says that the arena still holds it:
    adopting a snapshot gives its memory away.
    """

    owner: object  # compared by identity: a snapshot is only ever given back to the state that it was taken from
    arena: Arena
    parts: dict[str, Any]
    step: int
    epoch: int
    run_id: str
    format: int = FORMAT
    good: bool = False
    armed: bool = True
    exchange: list[Call] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


class Live(Protocol):
    """What training works on now."""

    arena: Arena


class State(Protocol):
    """A training state as ring and control loop see it, in this process or in a step process."""

    progress: Progress

    @property
    def live(self) -> Live:
        """What training works on now."""

    @property
    def bytes(self) -> int:
        """The size of one arena."""

    def new_arena(self) -> Arena:
        """Memory for one more state."""

    def digest(self) -> str:
        """The hash of all live tensors."""

    def capture(self, arena: Arena) -> Snapshot:
        """Copies the live state into `arena`."""

    def adopt(self, snapshot: Snapshot) -> None:
        """Makes the snapshot's own memory the live state."""

    def copy_back(self, snapshot: Snapshot) -> None:
        """Copies the snapshot into the live state."""

    def revive(self, arena: Arena, parts: dict[str, Any], *, step: int, epoch: int, run_id: str) -> Snapshot:
        """The snapshot whose tensors are, or will be, in `arena`, and whose parts are those that a file kept.

        Raises:
            RestoreFailed: these are not the parts of this training.
        """


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
        """Moves the tensors into an arena; `parts` by name are what is restored beside them."""
        self._optimizer, self._optimizer_state = optimizer, optimizer.state
        self.progress, self.run_id = progress, run_id
        self.parts: dict[str, Part] = {**parts, "groups": ParamGroups(optimizer), "progress": progress}
        self._allocate = allocate
        self.live = LiveState(homes(model, optimizer), allocate)

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
            BenchmarkFailed: a tensor was replaced, so the arena is not what training works on.
        """
        self._check_arena()
        arena.copy_from(self.live.arena)
        parts = {name: part.state() for name, part in self.parts.items()}
        return self._snapshot(arena, parts, self.progress.step, self.progress.epoch, self.run_id)

    def revive(self, arena: Arena, parts: dict[str, Any], *, step: int, epoch: int, run_id: str) -> Snapshot:
        """The snapshot whose tensors are, or will be, in `arena`, and whose parts are those that a file kept.

        Raises:
            RestoreFailed: these are not the parts of this training.
        """
        if parts.keys() != self.parts.keys():
            differing = sorted(parts.keys() ^ self.parts.keys())
            raise RestoreFailed(f"it and the live state differ in their parts: {differing}")
        return self._snapshot(arena, parts, step, epoch, run_id)

    def _snapshot(self, arena: Arena, parts: dict[str, Any], step: int, epoch: int, run_id: str) -> Snapshot:
        return Snapshot(
            self,
            arena,
            parts,
            step,
            epoch,
            run_id,
            exchange=self.live.exchange_calls(arena),
            calls=[call for name, part in self.parts.items() for call in part.calls(parts[name])],
        )

    def _check_arena(self) -> None:
        strays = self.live.strays()
        if self._optimizer.state is not self._optimizer_state:
            strays.append("the optimizer's whole state")
        if strays:
            raise BenchmarkFailed(
                f"{len(strays)} tensors left the arena, the first is {strays[0]!r}",
                "copy into the tensors instead of replacing them; Optimizer.load_state_dict replaces them",
            )

    def adopt(self, snapshot: Snapshot) -> None:
        """Makes the snapshot's own memory the live state, in a time that does not depend on its size.

        Raises:
            RestoreFailed: it is of another training, or was given away before; nothing changed.
            Exception: what a part raised; the tensors are as before, the parts are those of no state.
        """
        if snapshot.owner is not self or not snapshot.armed:
            raise _refusal(self, snapshot)
        for call, value in snapshot.exchange:
            call(value)
        self.live.arena.moved = snapshot.arena.moved = True
        snapshot.armed = False
        try:
            for call, value in snapshot.calls:
                call(value)
        except BaseException:
            for call, value in snapshot.exchange:
                call(value)
            snapshot.armed = True
            raise

    def copy_back(self, snapshot: Snapshot) -> None:
        """Copies the snapshot into the live state, whose addresses stay: what a captured CUDA graph needs.

        Raises:
            RestoreFailed: it is of another training, or was given away; nothing changed.
        """
        if snapshot.owner is not self or not snapshot.armed:
            raise _refusal(self, snapshot)
        self.live.arena.copy_from(snapshot.arena)
        for call, value in snapshot.calls:
            call(value)


def _refusal(state: TrainingState, snapshot: Snapshot) -> RestoreFailed:
    reason = "its memory was given away by an earlier restore"
    if snapshot.owner is not state:
        reason = f"it belongs to another training, of the run {snapshot.run_id}"
    return RestoreFailed(f"the snapshot of step {snapshot.step} cannot be restored: {reason}")
