"""The one grammar for limits, in thresholds and alerts alike: an operator and a number, such as "> 500" or "!= 1"."""

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_GRAMMAR = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*", re.ASCII)
_SLIPS = {"=>": ">=", "=<": "<=", "=": "==", "!": "!=", "<>": "!=", "≥": ">=", "≤": "<=", "≠": "!="}


@dataclass(frozen=True)
class Comparison:
    """A limit: it says when a level is reached."""

    operator: str
    limit: float

    def __str__(self) -> str:
        return f"{self.operator} {self.limit:.12g}"

    def holds(self, value: float) -> bool:
        """Whether the comparison is true of the value."""
        return OPERATORS[self.operator](value, self.limit)

    def holds_for_interval(self, low: float | None, high: float | None, /) -> bool | None:
        """True when it is true of the whole interval, False when of no part, else None, as with a bound missing."""
        if low is None or high is None:
            return None
        if self.operator in ("==", "!="):
            return self._point_in(low, high)
        at_low, at_high = self.holds(low), self.holds(high)
        return at_low if at_low == at_high else None

    def _point_in(self, low: float, high: float) -> bool | None:
        inside = low <= self.limit <= high
        if inside and low < high:
            return None
        return inside == (self.operator == "==")


def parse(text: object) -> Comparison:
    """The comparison that a text says.

    Raises:
        ValueError: the text is not an operator followed by a finite number; the message says what to write.
    """
    if not isinstance(text, str):
        written = f'; write "> {text:g}"' if isinstance(text, int | float) and not isinstance(text, bool) else ""
        raise ValueError(f'a limit should be a text such as "> 500", found {text!r}{written}')
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise ValueError(f'a limit should be an operator and a number, such as "> 500", found {text!r}{_hint(text)}')
    limit = float(match[2])
    if not math.isfinite(limit):
        raise ValueError(f"the number of a limit should be finite, found {text!r}")
    return Comparison(match[1], limit)


def _hint(text: str) -> str:
    """What the writer probably meant."""
    words = text.strip()
    sign = re.match(r"[^\w\s.+-]+", words)
    if sign is None:
        return f'; write "> {words}" or "< {words}"' if _GRAMMAR.fullmatch(f"> {words}") else ""
    if sign[0] in _SLIPS:
        return f"; did you mean {_SLIPS[sign[0]]!r} instead of {sign[0]!r}?"
    if sign[0] not in OPERATORS:
        return f"; the operators are {' '.join(OPERATORS)}"
    return "; units are not part of a limit" if re.search(r"[%a-zA-Z]", words) else ""
