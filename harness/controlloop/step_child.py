"""What runs in a step process: a whole trainer, driven call by call, whose live tensors lie in shared memory.

The functions here are called by name through the process's pipe; their state is the module's, since a process serves
one training only.
"""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from harness.controlloop.batches import Position
from harness.controlloop.data import Source
from harness.controlloop.faults import STUCK, Fault, FaultKind, FaultPlan, PlannedError
from harness.controlloop.shared import SharedArenas
from harness.controlloop.snapshot import TrainingState
from harness.controlloop.trainer import ModelFactory, Step, Trainer, TrainerSettings
from harness.errors import BenchmarkFailed
from harness.process import entry
from harness.process.nofork import fork_once, refuse_processes
from harness.process.reap import kill


@dataclass(frozen=True)
class Blueprint:
    """All that a trainer is built from; the same blueprint gives the same training in every process."""

    model: ModelFactory
    data: Source
    settings: TrainerSettings
    epochs: int
    steps: int
    seed: int
    device: str
    threads: int
    run_id: str
    deterministic: bool = False

    def build(self) -> Trainer:
        """A trainer at its first step."""
        return Trainer(
            self.model,
            self.data.load(self.seed),
            self.settings,
            epochs=self.epochs,
            steps_per_epoch=self.steps,
            seed=self.seed,
            device=torch.device(self.device),
            run_id=self.run_id,
        )


@dataclass
class _Serving:
    """The trainer of this process and the memory that its state lies in."""

    trainer: Trainer
    arenas: SharedArenas


_serving: _Serving | None = None


def _now_serving() -> _Serving:
    if _serving is None:
        raise BenchmarkFailed("this step process has not been prepared")
    return _serving


def prepare(blueprint: Blueprint, slots: int, layout_bytes: int) -> int:
    """Builds the trainer in memory of its own, maps the shared arenas, and warms up; gives the pid.

    A real step is made and taken back, so that the first one that counts finds its memory and code paths touched.

    Raises:
        BenchmarkFailed: the state has another layout here than in the process that keeps the snapshots.
    """
    global _serving
    torch.set_num_threads(blueprint.threads)
    torch.use_deterministic_algorithms(blueprint.deterministic)
    trainer = blueprint.build()
    state = trainer.state
    if state.bytes != layout_bytes:
        raise BenchmarkFailed(f"the state has {state.bytes} bytes here and {layout_bytes} in the control loop")
    arenas = SharedArenas(state.live.layout, slots, entry.inherited.descriptors[0])
    first = state.capture(state.new_arena())
    trainer.step()
    state.copy_back(first)
    refuse_processes()
    _serving = _Serving(trainer, arenas)
    return os.getpid()


def activate(slot: int, parts: dict[str, Any] | None) -> dict[str, Any]:
    """Makes the shared memory of `slot` the live state; gives the parts as they are then.

    `parts` of None keeps those of this process, and the first slot gets the tensors of this process: that is how a
    training begins.
    """
    serving = _now_serving()
    state, arenas = serving.trainer.state, serving.arenas
    target = arenas[slot]
    live_slot = _slot_of_live(arenas, state)
    if target is not state.live.arena:
        if parts is None:
            target.copy_from(state.live.arena)
        for call, value in state.live.exchange_calls(target):
            call(value)
        state.live.arena.moved = target.moved = True
        arenas.swapped(slot, state.live.arena)
        if live_slot is not None:
            arenas.swapped(live_slot, target)
    if parts is not None:
        _set_parts(state, parts)
    return portable(state)


def _slot_of_live(arenas: SharedArenas, state: TrainingState) -> int | None:
    """Where the live state lies now, None while it is in memory of this process alone."""
    try:
        return arenas.slot_of(state.live.arena)
    except StopIteration:
        return None


def portable(state: TrainingState) -> dict[str, Any]:
    """The parts of the state in a form that another process can take."""
    parts = {name: part.state() for name, part in state.parts.items()}
    passes, cursor, _ = parts["loader"]
    return {**parts, "loader": (passes, cursor)}


def _set_parts(state: TrainingState, parts: dict[str, Any]) -> None:
    passes, cursor = parts["loader"]
    loader: Any = state.parts["loader"]
    known: Position = loader.position
    order = known.order if known.passes == passes else loader.order_of(passes)
    for name, part in state.parts.items():
        value = Position(passes, cursor, order) if name == "loader" else parts[name]
        for call, argument in part.calls(value):
            call(argument)


def make_step(index: int, kind: FaultKind | None, deadline_ns: int) -> tuple[Step, dict[str, Any]]:
    """Makes the step of this index, and gives what it did and the parts after it."""
    trainer = _now_serving().trainer
    trainer.progress.step = index
    trainer.learning_rate.apply(trainer.optimizer, index)
    fault = None if kind is None else _fault(kind)
    step = trainer.step(fault, deadline_ns)
    return step, portable(trainer.state)


def accuracy() -> float:
    """The share of held-out targets that the model predicts right."""
    return _now_serving().trainer.accuracy()


def _fault(kind: FaultKind) -> Fault:
    plan = FaultPlan(epoch=1, step=1, kind=kind)
    return _StuckFault(plan, 1) if kind in STUCK else Fault(plan, 1)


class _StuckFault(Fault):
    """Faults that do not return, or take the process along; they happen when the weights are new but not counted."""

    def after_update(self, trainer: Any, batch: Any, late_at_ns: int) -> None:
        """Does the fault's work."""
        _STUCK_WORK[self.kind]()


def _stuck_call() -> None:
    """A C function that sleeps, holding the interpreter lock: no Python code runs here any more."""
    ctypes.PyDLL(None).sleep(3600)


def _gil_loop() -> None:
    while True:
        pass


def _big_matmul() -> None:
    """One call of the numerical library that takes many times any deadline."""
    size = 4096
    left = torch.randn(size, size)
    while True:
        torch.mm(left, left)


def _killed() -> None:
    kill(os.getpid())


def _fork_bomb() -> None:
    """Forks until it is refused.

    Raises:
        PlannedError: the kernel has refused the first fork, as it must.
        ProcessLookupError: it has not.
    """
    try:
        fork_once()
    except BlockingIOError as error:
        raise PlannedError(f"a fork bomb was refused at its first fork: {error.strerror}") from error


_STUCK_WORK: dict[str, Callable[[], None]] = {
    "stuck_call": _stuck_call,
    "gil_loop": _gil_loop,
    "big_matmul": _big_matmul,
    "killed_worker": _killed,
    "fork_bomb_refused": _fork_bomb,
}
