"""The levels of a verdict, and which of them is worse; light, for the verbs that only list verdicts."""

from collections.abc import Sequence
from typing import Literal

Level = Literal["pass", "warn", "fail", "inconclusive", "none"]
_ORDER: tuple[Level, ...] = ("none", "pass", "warn", "inconclusive", "fail")


def worst(levels: Sequence[Level]) -> Level:
    """The level of the whole: fail over inconclusive over warn over pass; none without any."""
    return max(levels, key=_ORDER.index, default="none")
