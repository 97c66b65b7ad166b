"""When a run will end, learned from what its steps took before.

Before a step has ended, its expected time is the exponentially weighted mean (weight 0.3 for the newest) of its past
durations. Afterwards past runs count by how alike they began: beside other work some steps slow down more than others,
in the same way as the last time. What this run's finished steps took over what was expected of them is its speed, by
which all that is to come is stretched: the same work on a slower day is slower in all its parts. `scenario=bench_eta`
counts on real pipelines, half of them beside other work on every CPU, how many estimates after the second step are
within 20 %, and how many of the weighted mean's; tests/track/test_eta.py holds it against the speed alone, too.

How much the speed is believed depends on what it rests on: a set-up of 5 ms that takes 15 says little of the hours to
come. Past runs tell how far runs differ as a whole, and how far the steps of one run differ from its own speed; the
logarithm of the speed is shrunk by the second against the first. A speed that is far beyond that noise is believed
whatever past runs were like (James and Stein's estimator, 1961), since a new host is like none of them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

NEWEST = 0.3  # weight of the newest duration
STEP_SPREAD = 0.2  # relative deviation of a step from its run's speed, before there is history to tell
SPEED_SPREAD = 0.3  # relative deviation of the speed of runs, before there is history to tell
OLDER = 0.9  # weight of a run that began like this one, of that of the next newer one
ALIKE = 0.1  # relative difference in what is done by which a run that began otherwise counts less
_WORTH = 2.0  # how many runs those first guesses are worth
JITTER_S = 0.1  # of any step, whatever its length: imports, caches, a busy host
_SIDES = 1.645  # standard deviations to either side of the middle that hold 90 %


class Expected(NamedTuple):
    """What a step should take: seconds, how far it strays from its run's speed (relative), from how many runs."""

    seconds: float
    spread: float
    runs: int

    @property
    def variance(self) -> float:
        """Of the duration, in seconds squared."""
        return (self.spread * self.seconds) ** 2 + JITTER_S**2


class Current(NamedTuple):
    """The step that runs: what was expected, how long it runs, and which share of its units is done (0: unknown)."""

    expected: Expected
    elapsed_s: float
    share: float = 0.0


class Estimate(NamedTuple):
    """Seconds to the end of the run, with bounds that should hold in nine of ten runs."""

    seconds: float
    low_s: float
    high_s: float


class Past(NamedTuple):
    """What past runs teach: each step's expectation by its key, and how far whole runs were off (relative)."""

    steps: Mapping[str, Expected]
    speed_spread: float = SPEED_SPREAD


def alike(
    steps: Mapping[str, Expected], runs: Sequence[Mapping[str, float]], done: Mapping[str, float]
) -> Mapping[str, Expected]:
    """What the steps should take in a run whose finished ones took `done`: as in those `runs` that began alike.

    Runs are oldest first, all with the seconds of their steps by key. One that began as no other did is held against
    the nearest, and its speed does the rest.
    """
    apart = [_apart(run, done) for run in runs]
    nearest = min((each for each in apart if each is not None), default=None)
    if nearest is None:
        return steps
    width = ALIKE**2 + nearest**2  # where even the nearest is far, it is little nearer than the others
    weights = [
        0.0 if each is None else OLDER**age * math.exp((nearest**2 - each**2) / (2 * width))
        for age, each in zip(range(len(runs) - 1, -1, -1), apart, strict=True)
    ]
    found = {}
    for key, expected in steps.items():
        weighted = [(weight, run[key]) for weight, run in zip(weights, runs, strict=True) if key in run and weight]
        whole = sum(weight for weight, _ in weighted)
        seconds = sum(weight * value for weight, value in weighted) / whole if whole else expected.seconds
        found[key] = expected._replace(seconds=seconds)
    return found


def _apart(run: Mapping[str, float], done: Mapping[str, float]) -> float | None:
    """How far a run's beginning is from what is done, as a logarithm; None where nothing of it is known."""
    known = run.keys() & done.keys()
    return abs(_log_ratio(sum(done[key] for key in known), sum(run[key] for key in known))) if known else None


def learn(runs: Sequence[Mapping[str, float]]) -> Past:
    """What the next run should take after these, oldest first, each with the seconds of its steps by key.

    Spreads are standard deviations of logarithms, of what each run did against what the runs before it had promised;
    first guesses are mixed in, so that two lucky runs do not promise certainty.
    """
    means: dict[str, float] = {}
    strayed: dict[str, list[float]] = {}
    speeds: list[float] = []
    for run in runs:
        known = [key for key in run if key in means]
        if known:
            speed = _log_ratio(sum(run[key] for key in known), sum(means[key] for key in known))
            speeds.append(speed)
            for key in known:
                strayed.setdefault(key, []).append(_log_ratio(run[key], means[key]) - speed)
        for key, seconds in run.items():
            means[key] = means[key] + NEWEST * (seconds - means[key]) if key in means else seconds
    steps = {
        key: Expected(mean, _spread(strayed.get(key, []), STEP_SPREAD), sum(key in run for run in runs))
        for key, mean in means.items()
    }
    return Past(steps, _spread(speeds, SPEED_SPREAD))


def _log_ratio(actual_s: float, expected_s: float) -> float:
    return math.log((actual_s + JITTER_S) / (expected_s + JITTER_S))


def _spread(deviations: Sequence[float], guess: float) -> float:
    squares = sum(deviation**2 for deviation in deviations)
    return math.sqrt((squares + _WORTH * guess**2) / (len(deviations) + _WORTH))


def estimate(
    done: Sequence[tuple[Expected, float]],
    current: Current | None,
    pending: Sequence[Expected],
    speed_spread: float = SPEED_SPREAD,
) -> Estimate | None:
    """The rest of a run whose finished steps took this long; None where nothing is left to estimate.

    Inside a step the rest is the larger of what is left of the expectation and what its progress says.
    """
    if current is None and not pending:
        return None
    speed, doubt = _speed(done, speed_spread)
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


def _speed(done: Sequence[tuple[Expected, float]], spread: float) -> tuple[float, float]:
    """By how much this run is slower than expected, and the variance of that number's logarithm."""
    expected_s = sum(expected.seconds for expected, _ in done)
    actual_s = sum(actual for _, actual in done)
    if expected_s <= 0.0 or actual_s <= 0.0:
        return 1.0, spread**2
    noise = sum(expected.variance for expected, _ in done) / expected_s**2
    ratio = math.log(actual_s / expected_s)
    believed = spread**2 / (spread**2 + noise)
    if ratio**2 > noise:
        believed = max(believed, 1.0 - noise / ratio**2)
    return math.exp(believed * ratio), believed * noise
