"""When a run will end, learned from what its steps took before.

The expected time of a step is the exponentially weighted mean (weight 0.3 for the newest) of its past durations. What
this run's finished steps took over what was expected of them is its speed, by which all that is to come is stretched:
the same work on a slower day is slower in all its parts. In a simulation (2,000 runs, six unequal steps, ten runs of
history, 20 % noise of runs and 10 % of steps; tests/track/test_eta.py) 92 % of the estimates after the second step are
within 20 %, on a host as fast as ever and on one three times slower; of the weighted mean alone 62 % and 0 %.

How much the speed is believed depends on how sure it is: a set-up of 5 ms that takes 15 says little of the hours to
come. So its logarithm is shrunk by its variance against that of runs among one another.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

NEWEST = 0.3  # weight of the newest duration
SPREAD = 0.3  # relative deviation of a step's duration from its expectation, before there is history to tell
_WORTH = 2.0  # how many predictions that first guess is worth
JITTER_S = 0.2  # of any step, whatever its length: imports, caches, a busy host
SPEED_SPREAD = 1.0  # relative deviation of the speed of runs among one another: any host, any neighbour
_SIDES = 1.645  # standard deviations to either side of the middle that hold 90 %


@dataclass(frozen=True)
class Expected:
    """What a step should take: seconds, how far past runs were off (relative), and how many there were."""

    seconds: float
    spread: float
    runs: int

    @property
    def variance(self) -> float:
        """Of the duration, in seconds squared."""
        return (self.spread * self.seconds) ** 2 + JITTER_S**2


@dataclass(frozen=True)
class Current:
    """The step that runs: what was expected, how long it runs, and which share of its units is done (0: unknown)."""

    expected: Expected
    elapsed_s: float
    share: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """Seconds to the end of the run, with bounds that should hold in nine of ten runs."""

    seconds: float
    low_s: float
    high_s: float


def learn(durations_s: Sequence[float]) -> Expected | None:
    """What a step should take after these durations, oldest first; None without any.

    The spread is how far each duration was from what had been expected before it, as a standard deviation of the
    logarithm, together with a first guess so that two lucky runs do not promise certainty.
    """
    if not durations_s:
        return None
    mean, squares = durations_s[0], 0.0
    for duration in durations_s[1:]:
        squares += math.log((duration + JITTER_S) / (mean + JITTER_S)) ** 2
        mean += NEWEST * (duration - mean)
    predicted = len(durations_s) - 1
    spread = math.sqrt((squares + _WORTH * SPREAD**2) / (predicted + _WORTH))
    return Expected(mean, min(spread, 1.0), len(durations_s))


def estimate(
    done: Sequence[tuple[Expected, float]], current: Current | None, pending: Sequence[Expected]
) -> Estimate | None:
    """The rest of a run whose finished steps took this long; None where nothing is left to estimate.

    Inside a step the rest is the larger of what is left of the expectation and what its progress says.
    """
    if current is None and not pending:
        return None
    speed, doubt = _speed(done)
    coming = [*pending, *([current.expected] if current is not None else [])]
    doubt = _usual(coming) if doubt is None else doubt
    middle = speed * sum(expected.seconds for expected in pending)
    variance = speed**2 * sum(expected.variance for expected in pending)
    if current is not None:
        left = max(0.0, speed * current.expected.seconds - current.elapsed_s)
        if current.share > 0.0:
            left = max(left, current.elapsed_s * (1.0 - current.share) / current.share)
        middle += left
        variance += speed**2 * current.expected.variance * (1.0 - current.share)
    half_s = _SIDES * math.sqrt(doubt * middle**2 + variance)
    if half_s >= middle:  # a rest of nearly nothing: a factor around it would say nothing
        return Estimate(middle, 0.0, middle + half_s)
    return Estimate(middle, middle * math.exp(-half_s / middle), middle * math.exp(half_s / middle))


def _speed(done: Sequence[tuple[Expected, float]]) -> tuple[float, float | None]:
    """By how much this run is slower than expected, and the variance of that number's logarithm, None if unknown."""
    expected_s = sum(expected.seconds for expected, _ in done)
    actual_s = sum(actual for _, actual in done)
    if expected_s <= 0.0 or actual_s <= 0.0:
        return 1.0, None
    variance = sum(expected.variance for expected, _ in done) / expected_s**2
    believed = SPEED_SPREAD**2 / (SPEED_SPREAD**2 + variance)
    return math.exp(believed * math.log(actual_s / expected_s)), believed * variance


def _usual(coming: Sequence[Expected]) -> float:
    """The variance of a run's speed before a step has ended: that of its steps, as if they varied together."""
    total = sum(expected.seconds for expected in coming)
    return (sum(expected.spread * expected.seconds for expected in coming) / total) ** 2 if total > 0.0 else 0.0
