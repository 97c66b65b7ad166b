"""Lines and parabolas through measured points: what one more token costs, with its interval, and whether that grows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.measure.intervals import student_t


@dataclass(frozen=True)
class Estimate:
    """A number with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """y = intercept + slope x."""

    slope: Estimate
    intercept: Estimate


def line(xs: Sequence[float], ys: Sequence[float]) -> Line | None:
    """The least-squares line, with intervals by Student's t (n - 2 degrees of freedom).

    None with fewer than three points, or where all have the same x: no slope can be told from them.
    """
    n = len(xs)
    mean_x, mean_y = _mean(xs), _mean(ys)
    spread = math.fsum((x - mean_x) ** 2 for x in xs)
    if n < 3 or spread == 0:
        return None
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    intercept = mean_y - slope * mean_x
    rest = math.fsum((y - intercept - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    deviation = math.sqrt(rest / (n - 2))
    t = student_t(n - 2)
    return Line(
        _around(slope, t * deviation / math.sqrt(spread)),
        _around(intercept, t * deviation * math.sqrt(1 / n + mean_x**2 / spread)),
    )


def growth(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """The steepness of the least-squares parabola at the largest x over that at the smallest; 1 for a line.

    None with fewer than four points, fewer than three different x, or where the parabola falls at the smallest x.
    """
    if len(xs) < 4 or len(set(xs)) < 3:
        return None
    centre, scale = _mean(xs), max(map(abs, xs))
    us = [(x - centre) / scale for x in xs]
    first, second = _parabola(us, ys)
    at_low, at_high = (first + 2 * second * u for u in (min(us), max(us)))
    return at_high / at_low if at_low > 0 else None


def _parabola(us: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """The coefficients of u and of u² of the least-squares parabola, by orthogonal polynomials."""
    s2 = math.fsum(u * u for u in us)
    shift = math.fsum(u**3 for u in us) / s2
    level = s2 / len(us)
    squares = [u * u - shift * u - level for u in us]
    second = math.fsum(q * y for q, y in zip(squares, ys, strict=True)) / math.fsum(q * q for q in squares)
    slope = math.fsum(u * y for u, y in zip(us, ys, strict=True)) / s2
    return slope - second * shift, second


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _around(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)
