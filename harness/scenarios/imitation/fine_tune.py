"""Fine-tuning by asking the expert again: the clone plays, and the expert says what it would have done there.

A clone drifts to where its expert never was and does not know what to do there. Learning from the states that the clone
itself gets into cures that (dataset aggregation: Ross, Gordon and Bagnell 2011).
"""

from typing import Annotated

import numpy
import torch

from harness.errors import Cancelled
from harness.ranges import Range
from harness.scenarios.imitation.cartpole import expert, open_cartpole, play
from harness.scenarios.imitation.cloning import imitate
from harness.scenarios.imitation.expert import load_trajectories
from harness.scenarios.imitation.policy import load, save
from harness.scenarios.pipeline.step import Step


def fine_tune(
    step: Step,
    *,
    rounds: Annotated[int, Range(min=1)],
    episodes: Annotated[int, Range(min=1)],
    epochs: Annotated[int, Range(min=1)],
    batch_size: Annotated[int, Range(min=1)],
    learning_rate: Annotated[float, Range(above=0)],
) -> dict[str, float]:
    """Improves the policy of the step `clone`, keeps it in `policy.pt`, and gives how many steps the expert named."""
    environment = open_cartpole()
    policy = load(step.of("clone"))
    observations, actions = load_trajectories(step.of("expert"))
    demonstrated = len(actions)
    chance = numpy.random.default_rng(step.seed)
    for number in range(rounds):
        if step.cancelled:
            raise Cancelled
        played = [play(environment, policy.act, int(chance.integers(2**31))) for _ in range(episodes)]
        seen = numpy.concatenate([episode.observations for episode in played])
        named = numpy.array([expert(observation) for observation in seen], dtype=numpy.int64)
        observations = torch.cat([observations, torch.from_numpy(seen).float()])
        actions = torch.cat([actions, torch.from_numpy(named)])
        step.record("imitation.tuning_points", float(numpy.mean([episode.points for episode in played])))
        losses = imitate(
            policy, observations, actions, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate
        )
        step.record("imitation.tuning_loss", list(losses)[-1])
        step.progress(number + 1, rounds)
    environment.close()
    save(policy, step.folder)
    return {"imitation.asked_steps": float(len(actions) - demonstrated)}
