"""One optimizer step at a time: batches, forward, backward, update, and what each part of it took."""

import contextlib
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.controlloop import optimizer as optimizers
from harness.controlloop import rng
from harness.controlloop.batches import Batches
from harness.controlloop.data import Dataset, Spec, held_out_rows
from harness.controlloop.faults import Fault
from harness.controlloop.optimizer import LearningRate
from harness.controlloop.snapshot import Progress, Scaler, TrainingState
from harness.ranges import Range

ModelFactory = Callable[[Spec], nn.Module]
_AMP_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """The knobs of a trainer; their defaults stand in `conf/scenario/steady_train.yaml`."""

    batch_size: Annotated[int, Range(min=1)]
    accumulate: Annotated[int, Range(min=1)]
    optimizer: optimizers.Kind
    implementation: optimizers.Implementation
    learning_rate: Annotated[float, Range(above=0)]
    warmup_steps: Annotated[int, Range(min=0)]
    clip_norm: Annotated[float, Range(above=0)]
    amp: Literal["disabled", "bf16", "fp16"]
    tf32: bool


@dataclass(slots=True)
class Step:
    """What one step did. `h2d_copy_ms` is None where batches need not be copied to the device."""

    loss: float
    gradient_norm: float
    samples: int
    started_ns: int
    ended_ns: int
    input_wait_ms: float
    h2d_copy_ms: float | None

    @property
    def latency_ms(self) -> float:
        """From the first batch asked for to the loss in hand."""
        return (self.ended_ns - self.started_ns) / 1e6


class Trainer:
    """A model, its data and its optimizer, with the whole state in one arena."""

    def __init__(
        self,
        model: ModelFactory,
        dataset: Dataset,
        settings: TrainerSettings,
        *,
        epochs: int,
        steps_per_epoch: int,
        seed: int,
        device: torch.device,
        run_id: str,
    ) -> None:
        """Builds everything from the seed; the same seed gives the same training."""
        torch.set_float32_matmul_precision("high" if settings.tf32 else "highest")
        random.seed(seed)
        numpy.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        self.settings, self.device, self.dataset = settings, device, dataset
        self.model = model(dataset.spec).to(device).train()
        self.optimizer = optimizers.build(
            self.model.parameters(), settings.optimizer, settings.implementation, settings.learning_rate
        )
        self.total_steps = epochs * steps_per_epoch
        self.learning_rate = LearningRate(settings.learning_rate, settings.warmup_steps, self.total_steps)
        self.progress = Progress(steps_per_epoch)
        self.batches = Batches(dataset, size=settings.batch_size, seed=seed)
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.amp == "fp16")
        self._autocast: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if settings.amp != "disabled":
            self._autocast = torch.autocast(device.type, _AMP_TYPES[settings.amp])
        parts = {**rng.sources(device), "loader": self.batches, "scaler": Scaler(self._scaler)}
        self.state = TrainingState(self.model, self.optimizer, self.progress, parts, run_id=run_id)
        self.learning_rate.apply(self.optimizer, 0)
        self._held_out = tuple(tensor.to(device) for tensor in dataset.gather(held_out_rows(dataset)))

    @property
    def samples_per_step(self) -> int:
        """Rows that one step learns from."""
        return self.settings.batch_size * self.settings.accumulate

    def step(self, fault: Fault | None = None, deadline_ns: int = 0) -> Step:
        """Makes one step; `fault` disturbs it, past `deadline_ns` after its start if it is a late one.

        The step is not counted: whether it was healthy is for the control loop to say.
        """
        settings, started = self.settings, time.perf_counter_ns()
        self.optimizer.zero_grad(set_to_none=True)
        if fault is not None:
            fault.before_forward(self)
        waited = copied = 0
        losses = []
        for _ in range(settings.accumulate):
            asked = time.perf_counter_ns()
            batch = self.batches.take()
            given = time.perf_counter_ns()
            waited += given - asked
            if self.device.type != "cpu":
                batch = self._to_device(batch)
                copied += time.perf_counter_ns() - given
            losses.append(self.backward(batch))
        if fault is not None:
            fault.before_update(self)
        norm = self._update()
        if fault is not None:
            fault.after_update(self, batch, started + deadline_ns)
        loss = float(torch.stack(losses).sum()) if len(losses) > 1 else float(losses[0])
        gradient_norm = float(norm)
        ended = time.perf_counter_ns()
        h2d_ms = None if self.device.type == "cpu" else copied / 1e6
        return Step(loss, gradient_norm, self.samples_per_step, started, ended, waited / 1e6, h2d_ms)

    def _to_device(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The batch on the device, there when this returns, so that the copy is timed and not the queueing of it.

        (Not exercised yet: written on machines without a GPU.)
        """
        moved = batch[0].to(self.device), batch[1].to(self.device)
        torch.cuda.synchronize(self.device)
        return moved

    def backward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Adds the gradients of a batch, and gives its share of the step's loss."""
        inputs, targets = batch
        with self._autocast:
            logits = self.model(inputs)
            loss = functional.cross_entropy(logits.flatten(0, 1), targets[:, -logits.shape[1] :].flatten())
        share = loss / self.settings.accumulate
        self._scaler.scale(share).backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        return share.detach()

    def _update(self) -> Tensor:
        """Clips the gradients, updates the weights; gives the norm before clipping."""
        self._scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return norm

    def healthy(self, step: Step) -> bool:
        """Whether the step left a state worth going on from. A loss scaler skips an overflowing update by itself."""
        return math.isfinite(step.loss) and (math.isfinite(step.gradient_norm) or self._scaler.is_enabled())

    def advance(self) -> None:
        """Counts a healthy step and sets the learning rate of the next one."""
        self.progress.step += 1
        self.learning_rate.apply(self.optimizer, self.progress.step)

    def accuracy(self) -> float:
        """The share of held-out targets predicted right, from real predictions of the model as it is now."""
        inputs, targets = self._held_out
        self.model.eval()
        try:
            with torch.no_grad():
                logits = self.model(inputs)
                right = logits.argmax(-1) == targets[:, -logits.shape[1] :]
            return float(right.float().mean())
        finally:
            self.model.train()
