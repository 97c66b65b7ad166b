"""How a comparison is carried out: how many pairs of processes, rounds and calls, and what counts as a change.

The defaults are those that held on a host whose speed changes by a fifth between minutes: no false alarm in 2044 tests,
and 1 of 85 slowdowns of 5 % missed. Two processes of the same code differ by 1.8 % (one standard deviation), however
long they run, so it is fresh pairs of processes that are counted, not iterations.
"""

from dataclasses import dataclass
from random import Random

from harness.errors import ConfigError, Problem

LEAST_PAIRS = 2  # fewer say nothing of how much processes differ


@dataclass(frozen=True)
class Design:
    """The plan of a comparison; effects are shares, so 0.05 is 5 %."""

    tolerance: float = 0.05  # the change that matters; an alarm needs more than half of it
    level: float = 0.99  # of the interval by which there is an alarm, two-sided
    same_level: float = 0.95  # of that by which there is none: a false alarm costs more than a "same" that was not
    pairs: int = 7  # fresh pairs of processes in the short stage
    more_pairs: int = 8  # and in the second, taken only when the first leaves doubt
    rounds: int = 100  # of a pair; in each, every arm has one turn
    calls: int = 1  # timed calls of a turn
    discard: int = 1  # calls before them that are thrown away: the first after a pause finds cold caches
    chunk: int = 5  # rounds whose fastest stands for all of them
    confirm: bool = True  # a slowdown must be found a second time, by fresh processes, before the exit code says so
    null: bool = True  # a second process of A takes part, so that the report shows what no change looks like
    budget_s: float = 120.0  # of calls in the short stage; rounds are fewer where the calls take longer

    def __post_init__(self) -> None:
        problems = [
            Problem(name, f"should be {rule}, found {getattr(self, name)!r}", hint)
            for name, rule, hint, good in (
                ("tolerance", "between 0 and 1", "5 % is 0.05", 0 < self.tolerance < 1),
                ("level", "between 0.5 and 1", "", 0.5 < self.level < 1),
                ("same_level", "between 0.5 and 1", "", 0.5 < self.same_level < 1),
                ("pairs", f"at least {LEAST_PAIRS}", "7 is the default", self.pairs >= LEAST_PAIRS),
                ("more_pairs", "0 or more", "", self.more_pairs >= 0),
                ("rounds", f"at least one chunk of {self.chunk}", "", self.rounds >= self.chunk),
                ("calls", "at least 1", "", self.calls >= 1),
                ("discard", "0 or more", "", self.discard >= 0),
                ("chunk", "at least 1", "", self.chunk >= 1),
                ("budget_s", "more than 0", "", self.budget_s > 0),
            )
            if not good
        ]
        if problems:
            raise ConfigError(problems)

    def rounds_within(self, round_s: float, pairs: int | None = None) -> int:
        """How many rounds of this length fit into the budget: whole chunks, at least one, at most `rounds`."""
        fitting = int(self.budget_s / max(round_s, 1e-9) / (pairs or self.pairs))
        most = self.rounds // self.chunk
        return self.chunk * max(1, min(most, fitting // self.chunk))


def orders(arms: tuple[str, ...], rounds: int, random: Random) -> list[tuple[str, ...]]:
    """The order of the arms in each round: every arm once, drawn anew each time.

    A fixed order would give whatever happens once a round (a timer, a collection) always to the same arm; blocks of
    one arm after the other would measure the host's change of speed between them.
    """
    return [tuple(random.sample(arms, len(arms))) for _ in range(rounds)]
