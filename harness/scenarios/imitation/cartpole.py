"""The pole on a cart (Barto, Sutton and Anderson 1983, as gymnasium's CartPole-v1), an expert for it, and episodes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from harness.errors import ConfigError, Problem

ENVIRONMENT = "CartPole-v1"
BEST_RETURN = 500.0  # a point for every step that the pole stands, and the episode ends after this many
_GAINS = numpy.array([0.05, 0.1, 1.0, 0.5])  # of place, speed, angle and turning: it holds the pole to the end

Act = Callable[[Any], int]  # from what is observed to push left (0) or right (1)


@dataclass(frozen=True)
class Episode:
    """What was observed at each step, what was done there, and how long the pole stood."""

    observations: Any  # (steps, 4)
    actions: Any  # (steps,)
    points: float


def open_cartpole() -> Any:
    """The environment.

    Raises:
        ConfigError: gymnasium is not installed.
    """
    try:
        import gymnasium
    except ImportError as error:
        hint = "pip install 'harness[examples]'"
        raise ConfigError([Problem("scenario", f"this example needs gymnasium: {error}", hint)]) from error
    return gymnasium.make(ENVIRONMENT, disable_env_checker=True)


def expert(observation: Any) -> int:
    """Pushes towards the side to which the pole falls: a linear controller."""
    return int(observation @ _GAINS > 0)


def play(environment: Any, act: Act, seed: int, *, slip: Callable[[], int | None] = lambda: None) -> Episode:
    """One episode from a seeded start; `slip` now and then puts another action in the place of the one chosen.

    What is kept is the action that was chosen, so that slips widen what is seen and spoil nothing that is learnt.
    """
    observation, _ = environment.reset(seed=seed)
    observations, actions, points = [], [], 0.0
    ended = False
    while not ended:
        chosen = act(observation)
        observations.append(observation)
        actions.append(chosen)
        other = slip()
        observation, reward, fell, out_of_time, _ = environment.step(chosen if other is None else other)
        points += float(reward)
        ended = fell or out_of_time
    return Episode(numpy.stack(observations), numpy.array(actions, dtype=numpy.int64), points)
