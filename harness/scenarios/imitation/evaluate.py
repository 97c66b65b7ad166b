"""The last step: expert, clone and tuned policy play the same unseen episodes."""

import json
from typing import Annotated

import numpy

from harness.errors import Cancelled
from harness.ranges import Range
from harness.scenarios.imitation.cartpole import Act, expert, open_cartpole, play
from harness.scenarios.imitation.policy import load
from harness.scenarios.pipeline.step import Step

RETURNS = "returns.json"


def evaluate(step: Step, *, episodes: Annotated[int, Range(min=1)]) -> dict[str, float]:
    """Gives each policy's share of the expert's points, and keeps all points in `returns.json`.

    A policy whose step was skipped is left out.
    """
    players: dict[str, Act] = {"expert": expert}
    for name, learnt_in in (("clone", "clone"), ("tuned", "fine_tune")):
        if learnt_in in step.earlier:
            players[name] = load(step.of(learnt_in)).act
    seeds = [int(seed) for seed in numpy.random.default_rng(step.seed).integers(2**31, size=episodes)]
    environment = open_cartpole()
    points: dict[str, list[float]] = {name: [] for name in players}
    for number, seed in enumerate(seeds):
        if step.cancelled:
            raise Cancelled
        for name, act in players.items():
            points[name].append(play(environment, act, seed).points)
        step.progress(number + 1, episodes)
    environment.close()
    (step.folder / RETURNS).write_text(json.dumps(points), encoding="utf-8")
    means = {name: float(numpy.mean(values)) for name, values in points.items()}
    shares = {f"imitation.{name}_share": means[name] / means["expert"] for name in means if name != "expert"}
    return {**shares, **{f"imitation.{name}_points": mean for name, mean in means.items() if name != "expert"}}
