"""The optimizer and its learning rate, in a form whose state can live in an arena from the first step on."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

Kind = Literal["sgd", "adam", "adamw"]
Implementation = Literal["for_loop", "foreach", "fused"]


def build(
    parameters: Iterable[Tensor], kind: Kind, implementation: Implementation, learning_rate: float
) -> torch.optim.Optimizer:
    """An optimizer whose state exists already: torch makes it in the first step, too late to lay it out."""
    knobs: dict[str, Any] = {"lr": learning_rate, "foreach": implementation == "foreach"}
    if implementation == "fused":
        knobs["fused"] = True
    if kind == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(parameters, momentum=0.9, **knobs)
    else:
        optimizer = (torch.optim.Adam if kind == "adam" else torch.optim.AdamW)(parameters, **knobs)
    _materialise(optimizer)
    return optimizer


def _materialise(optimizer: torch.optim.Optimizer) -> None:
    """Makes the state by one step with zero gradients, then takes the step back; zero is what torch starts from."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    before = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
        for values in optimizer.state.values():
            for value in values.values():
                if isinstance(value, Tensor):
                    value.zero_()


class LearningRate:
    """Linear warm-up, then half a cosine down to a tenth; a function of the step alone, so nothing can be lost."""

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps

    def at(self, step: int) -> float:
        """The rate of the step with this index, the first being 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        share = min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))
        return self.peak * (0.55 + 0.45 * math.cos(math.pi * share))

    def apply(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Sets the rate of that step in all groups."""
        rate = self.at(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
