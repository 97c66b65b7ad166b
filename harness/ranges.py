"""Bounds of a parameter, written in the signature of the thing that takes it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Closed bounds of a number, read by the config checker: `Annotated[int, Range(min=1)]`.

    `above` and `below` are the open counterparts, for values such as a probability that may not be 0.
    """

    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None
