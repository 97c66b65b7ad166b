"""The search for the highest rate at which a service still keeps its promise."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Bracket:
    """Where the limit lies: `kept` was tried and kept, `missed` was tried and missed.

    `kept` is None where even the lowest rate missed, `missed` is None where the highest one kept.
    """

    kept: float | None
    missed: float | None
    tried: tuple[tuple[float, bool], ...]  # in the order of trying

    @property
    def estimate(self) -> float:
        """The middle of the bracket, or the one bound that there is; 0 where even the lowest rate missed."""
        if self.kept is None:
            return 0.0
        return self.kept if self.missed is None else (self.kept + self.missed) / 2


def search(
    keeps: Callable[[float], bool],
    *,
    lowest: float,
    highest: float,
    growth: float,
    resolution: float,
    most_tries: int,
) -> Bracket:
    """The bracket around the limit: the rate grows by a factor until it misses, then the gap is halved.

    Ends when the bracket is narrower than `resolution` of its lower bound, or after `most_tries`. A rate that misses
    once is taken to miss: a service does not get better under more load.
    """
    tried: list[tuple[float, bool]] = []
    kept: float | None = None
    missed: float | None = None
    rate = lowest
    while len(tried) < most_tries:
        good = keeps(rate)
        tried.append((rate, good))
        if good:
            kept = rate
        else:
            missed = rate
        if kept is None or (missed is None and rate >= highest):
            break
        if missed is not None and missed - kept <= resolution * kept:
            break
        rate = min(rate * growth, highest) if missed is None else (kept + missed) / 2
    return Bracket(kept, missed, tuple(tried))
