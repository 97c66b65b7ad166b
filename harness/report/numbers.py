"""Numbers for people: four significant digits, their interval beside them, a dash where there is none."""

import math
from collections.abc import Sequence


def number(value: float | None) -> str:
    """The number in four significant digits without an exponent where that is readable."""
    if value is None:
        return "-"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6):
        return f"{value:.0f}"
    size = abs(value)
    if not 1e-4 <= size < 1e6:
        return f"{value:.3e}"
    rounded = round(size, _decimals(size))
    return f"{value:.{_decimals(rounded)}f}"


def _decimals(size: float) -> int:
    return max(0, 3 - math.floor(math.log10(size)))


def with_interval(value: float | None, interval: Sequence[float | None] | None) -> str:
    """The number with its 95 % interval: `12.30 ± 0.12`, or both bounds where they are not even."""
    low, high = interval or (None, None)
    if value is None or low is None or high is None:
        return number(value)
    if low == high == value:
        return f"{number(value)} ± 0"
    if math.isclose(value - low, high - value, rel_tol=0.01):
        return f"{number(value)} ± {short((high - low) / 2)}"
    return f"{number(value)} {bounds(interval)}"


def short(half: float) -> str:
    """What stands behind a ±, in two significant digits: more would claim to know the error of the error."""
    return f"{half:.0f}" if half >= 10 else f"{half:.2g}"


def bounds(interval: Sequence[float | None] | None) -> str:
    """An interval by its bounds, a dash without any."""
    low, high = interval or (None, None)
    return "-" if low is None and high is None else f"[{number(low)}, {number(high)}]"


def duration(seconds: float | None) -> str:
    """A time span for people: `0.42 s`, `3 m 20 s`, `2 h 5 m`."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} m"
