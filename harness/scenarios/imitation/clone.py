"""Behaviour cloning: the policy learns to do what the expert did (Pomerleau 1991)."""

from typing import Annotated

from harness.errors import Cancelled
from harness.ranges import Range
from harness.scenarios.imitation.cloning import imitate
from harness.scenarios.imitation.expert import load_trajectories
from harness.scenarios.imitation.policy import Policy, save
from harness.scenarios.pipeline.step import Step


def clone(
    step: Step,
    *,
    hidden: Annotated[int, Range(min=1)],
    epochs: Annotated[int, Range(min=1)],
    batch_size: Annotated[int, Range(min=1)],
    learning_rate: Annotated[float, Range(above=0)],
) -> dict[str, float]:
    """Trains a policy on the step `expert`, keeps it in `policy.pt`, and gives its accuracy on what it learnt from."""
    observations, actions = load_trajectories(step.of("expert"))
    policy = Policy(hidden)
    losses = imitate(policy, observations, actions, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    for epoch, loss in enumerate(losses):
        if step.cancelled:
            raise Cancelled
        step.record("imitation.clone_loss", loss)
        step.progress(epoch + 1, epochs)
    save(policy, step.folder)
    return {"imitation.clone_accuracy": (policy(observations).argmax(1) == actions).float().mean().item()}
