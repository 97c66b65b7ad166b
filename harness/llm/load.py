"""Shapes of load: who asks when. Each gives the schedule of so many requests, the same for the same seed.

A closed loop (users) slows down with the server and shows what a given number of users would feel. An open loop sends
at its own times and shows what happens when the world does not wait; its latency counts from the intended start, so a
server that stalls cannot hide the requests that it kept from being sent (coordinated omission).
"""

import itertools
import math
import random
from dataclasses import dataclass
from typing import Annotated, Protocol

from harness.llm.schedule import Closed, Open, Schedule
from harness.ranges import Range

_S = 1_000_000_000

Rate = Annotated[float, Range(above=0)]  # requests a second


class Load(Protocol):
    """One shape of load."""

    def schedule(self, requests: int, seed: int) -> Schedule:
        """When each of the requests is sent."""


@dataclass(frozen=True, kw_only=True)
class Users:
    """A closed loop: so many users, each of whom waits for an answer before asking again."""

    users: Annotated[int, Range(min=1)]
    ramp_s: Annotated[float, Range(min=0)]
    think_s: Annotated[float, Range(min=0)]

    def schedule(self, requests: int, seed: int) -> Closed:
        """The users begin at even distances within the ramp; more users than requests would only stand by."""
        users = min(self.users, requests)
        return Closed(tuple(round(i * self.ramp_s * _S / users) for i in range(users)), round(self.think_s * _S))


@dataclass(frozen=True, kw_only=True)
class ConstantRate:
    """An open loop: a request every `1 / rate_per_s` seconds, whatever became of those before."""

    rate_per_s: Rate

    def schedule(self, requests: int, seed: int) -> Open:
        """The first at once, the others at even distances."""
        return Open(tuple(round(i * _S / self.rate_per_s) for i in range(requests)))


@dataclass(frozen=True, kw_only=True)
class PoissonRate:
    """An open loop of independent people: exponential pauses with a mean of `1 / rate_per_s` seconds."""

    rate_per_s: Rate

    def schedule(self, requests: int, seed: int) -> Open:
        """The pauses are drawn one after the other, so that a longer run begins like a shorter one."""
        source = random.Random(seed)
        pauses = (source.expovariate(self.rate_per_s) * _S for _ in range(requests))
        return Open(tuple(round(at) for at in itertools.accumulate(pauses)))


@dataclass(frozen=True, kw_only=True)
class Burst:
    """An open loop: `size` requests at the same moment, again every `every_s` seconds."""

    size: Annotated[int, Range(min=1)]
    every_s: Annotated[float, Range(above=0)]

    def schedule(self, requests: int, seed: int) -> Open:
        """Whole bursts, the last one as large as the requests allow."""
        return Open(tuple(round(i // self.size * self.every_s * _S) for i in range(requests)))


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """An open loop whose rate rises, or falls, evenly from one value to another."""

    from_per_s: Annotated[float, Range(min=0)]
    to_per_s: Annotated[float, Range(min=0)]

    def __post_init__(self) -> None:
        if self.from_per_s + self.to_per_s == 0:
            raise ValueError("a ramp from 0 to 0 requests a second sends nothing; set from_per_s or to_per_s")

    def schedule(self, requests: int, seed: int) -> Open:
        """The times at which the integral of the rate reaches 0, 1, 2, …; the last request falls on the full rate.

        With rates a and b over a time T, a t + (b - a) t² / 2T requests are sent until t; T is chosen so that all of
        them are sent by then.
        """
        last = max(requests - 1, 1)
        span_s = 2 * last / (self.from_per_s + self.to_per_s)
        slope = (self.to_per_s - self.from_per_s) / span_s
        return Open(tuple(round(self._reached_s(i, slope) * _S) for i in range(requests)))

    def _reached_s(self, count: int, slope: float) -> float:
        """The positive root of slope t² / 2 + from t = count, in the form that stays exact for small slopes."""
        below = max(0.0, self.from_per_s**2 + 2 * slope * count)
        denominator = self.from_per_s + math.sqrt(below)
        return 2 * count / denominator if denominator else 0.0
