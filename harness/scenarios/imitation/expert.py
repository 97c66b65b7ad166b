"""The first step: an expert plays, and what it saw and did is kept."""

import time
from pathlib import Path
from typing import Annotated

import numpy
import torch
from torch import Tensor

from harness.errors import Cancelled
from harness.ranges import Range
from harness.scenarios.imitation.cartpole import expert, open_cartpole, play
from harness.scenarios.pipeline.step import Step

TRAJECTORIES = "trajectories.npz"


def collect(
    step: Step, *, episodes: Annotated[int, Range(min=1)], slips: Annotated[float, Range(min=0, below=1)]
) -> dict[str, float]:
    """Keeps observations and actions of so many episodes in `trajectories.npz`, and gives mean return and speed."""
    environment = open_cartpole()
    chance = numpy.random.default_rng(step.seed)

    def slip() -> int | None:
        return int(chance.integers(2)) if chance.random() < slips else None

    played = []
    began = time.perf_counter()
    for number in range(episodes):
        if step.cancelled:
            raise Cancelled
        played.append(play(environment, expert, int(chance.integers(2**31)), slip=slip))
        step.progress(number + 1, episodes)
    played_s = time.perf_counter() - began
    environment.close()
    frames = sum(len(episode.actions) for episode in played)
    numpy.savez(
        step.folder / TRAJECTORIES,
        observations=numpy.concatenate([episode.observations for episode in played]),
        actions=numpy.concatenate([episode.actions for episode in played]),
    )
    return {
        "imitation.expert_points": float(numpy.mean([episode.points for episode in played])),
        "imitation.demonstrated_steps": float(frames),
        "imitation.frames_per_s": frames / played_s,
    }


def load_trajectories(folder: Path) -> tuple[Tensor, Tensor]:
    """The observations `(rows, 4)` and the expert's pushes `(rows,)` that `collect` has left in its folder."""
    with numpy.load(folder / TRAJECTORIES) as kept:
        return torch.from_numpy(kept["observations"]).float(), torch.from_numpy(kept["actions"])
