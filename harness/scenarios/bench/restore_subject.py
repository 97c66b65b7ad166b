"""Trainings of a given size whose state can be disturbed and restored, for the benchmark of restores."""

import random
from dataclasses import dataclass
from typing import Annotated

import numpy
import torch
from torch import nn

from harness.controlloop import optimizer as optimizers
from harness.controlloop.data import Spec, Vectors
from harness.controlloop.faults import Fault, FaultPlan
from harness.controlloop.ring import Method, Ring
from harness.controlloop.snapshot import Snapshot
from harness.controlloop.trainer import Trainer, TrainerSettings
from harness.errors import ConfigError, Problem
from harness.ranges import Range

_TENSORS_PER_LAYER = 8  # weight and bias, each with two moments and a step counter of Adam
_STATES = 3  # a parameter and its two moments
_ROWS, _HELD_OUT = 512, 16


@dataclass(frozen=True, kw_only=True)
class Size:
    """A state of `mb` megabytes: how often it is adopted, and how many paired rounds compare copies of it.

    `full_rounds` compare restores of it from a file; without them there are none.
    """

    mb: Annotated[float, Range(above=0)]
    adoptions: Annotated[int, Range(min=10)]
    rounds: Annotated[int, Range(min=6)]
    full_rounds: Annotated[int, Range(min=6)] | None = None

    @property
    def label(self) -> str:
        """What its metrics end with."""
        return f"{self.mb:g}mb"


class Stack(nn.Module):
    """As many square layers as it takes for the number of tensors asked for."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(width, width) for _ in range(layers)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """One prediction a row."""
        logits: torch.Tensor = self.layers(inputs)
        return logits.unsqueeze(1)


@dataclass
class _Rows:
    """The data of a stack: random vectors with random labels, for what is learnt does not matter here."""

    width: int

    def load(self, seed: int) -> Vectors:
        """The same rows for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(_ROWS, self.width, generator=generator)
        labels = torch.randint(0, self.width, (_ROWS,), generator=generator)
        return Vectors(inputs, labels, classes=self.width, held_out=_HELD_OUT)


class Subject:
    """A training with one good snapshot in its ring, which can be disturbed and restored again and again."""

    def __init__(self, size: Size, tensors: int, settings: TrainerSettings, *, seed: int, device: torch.device) -> None:
        layers = tensors // _TENSORS_PER_LAYER
        width = max(1, round((size.mb * 1e6 / (4 * _STATES * layers)) ** 0.5))

        def stack(spec: Spec) -> nn.Module:
            return Stack(spec.width, layers)

        self._stack = stack
        data = _Rows(width).load(seed)
        self.trainer = Trainer(
            stack, data, settings, epochs=1, steps_per_epoch=10**6, seed=seed, device=device, run_id=size.label
        )
        self.state = self.trainer.state
        if len(self.state.live.tensors) != tensors:
            message = f"should be a multiple of {_TENSORS_PER_LAYER} for an optimizer like Adam, found {tensors}"
            raise ConfigError([Problem("scenario.tensors", message, "use 96 and scenario.trainer.optimizer=adamw")])
        self.trainer.step()
        self.trainer.advance()
        self.ring = Ring(self.state, slots=2, cap_bytes=None)
        self.snapshot = self._first_good()
        self.good = self.fingerprint()

    def _first_good(self) -> Snapshot:
        snapshot = self.ring.capture()
        assert snapshot is not None
        self.ring.confirm()
        return snapshot

    def peer(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        """A model and an optimizer of the same size that live in no arena, as other programs have them."""
        model = self._stack(self.trainer.dataset.spec)
        settings = self.trainer.settings
        return model, optimizers.build(
            model.parameters(), settings.optimizer, settings.implementation, settings.learning_rate
        )

    def step(self) -> None:
        """Disturbs the state by training on."""
        self.trainer.step()
        self.trainer.advance()

    def disturb(self, *, draw_from_numpy: bool = False) -> None:
        """Writes into every tensor and moves every part on, in the time of a few cache misses instead of a step.

        numpy's global generator only if asked: training does not draw from it, and then it takes longest to set back.
        """
        with torch.no_grad():
            torch._foreach_add_([tensor.view(-1)[:64] for tensor in self.state.live.tensors], 1)
        torch.rand(1)
        random.random()
        if draw_from_numpy:
            numpy.random.random()
        self.trainer.batches.take()
        self.trainer.advance()

    def restore(self, method: Method) -> int:
        """The nanoseconds of one restore."""
        return self.ring.restore(method)[1]

    def fingerprint(self) -> tuple[str, str]:
        """The hash of all tensors, and all else that a restore must bring back, as text."""
        parts = {name: part.state() for name, part in self.state.parts.items()}
        return self.state.digest(), repr(plain(parts))


def plain(value: object) -> object:
    """The same with tensors and arrays written out, for their own text is shortened."""
    if isinstance(value, torch.Tensor | numpy.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(below) for key, below in value.items()}
    return [plain(below) for below in value] if isinstance(value, list | tuple) else value


def bad_step(trainer: Trainer) -> None:
    """A step whose work goes on after the update, as a late one's does: it leaves a state that was never trained to."""
    fault = Fault(FaultPlan(epoch=1, step=1, kind="late_step"), 1)
    trainer.step(fault, deadline_ns=5_000_000)
