"""A simulated host whose disturbances are known: what each trap of comparing does to it can be computed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random


@dataclass
class Host:
    """Its speed wanders, its processes differ, other work only ever adds time.

    `wander` is how far the speed moves within a pair; `between` the standard deviation of a process's own factor;
    `cold` what the first call after a pause costs on top; `warmth` by how much being called again at once is faster.
    """

    random: Random
    wander: float = 0.2
    between: float = 0.0
    cold: float = 0.0
    warmth: float = 0.0

    def measure(
        self,
        turns: Sequence[str],
        cost: Mapping[str, float],
        calls: Mapping[str, int] | None = None,
        discard: int = 1,
    ) -> dict[str, list[float]]:
        """The fastest timed call of each turn, for fresh processes that take their turns in this order."""
        process = {arm: math.exp(self.random.gauss(0, self.between / math.sqrt(2))) for arm in cost}
        values: dict[str, list[float]] = {arm: [] for arm in cost}
        phase = self.random.uniform(0, 2 * math.pi)
        for at, arm in enumerate(turns):
            speed = 1 + self.wander * math.sin(phase + 2 * math.pi * at / len(turns))
            times = []
            for call in range(discard + (calls or {}).get(arm, 1)):
                time = cost[arm] * process[arm] * speed * (1 + self.random.expovariate(50))
                time *= 1 + self.cold * (call == 0) - self.warmth * min(call, 3) / 3
                times.append(time)
            values[arm].append(min(times[discard:]))
        return values
