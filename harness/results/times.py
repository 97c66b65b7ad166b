"""Times as the documents hold them: UTC, ISO 8601, microseconds, a Z; and what people type for them."""

import re
from datetime import UTC, date, datetime, timedelta

FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"  # of one width, so that text sorts as time does
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def now() -> str:
    """The time in UTC."""
    return datetime.now(UTC).strftime(FORMAT)


def epoch(text: str) -> float:
    """Seconds since 1970 of a time in ISO 8601; without a zone it is taken as UTC."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def parse_when(text: str, *, end: bool = False, at: datetime | None = None) -> float:
    """Seconds since 1970 of what a person typed: `2d` or `3h` before now, a date, or a time (UTC without a zone).

    With `end` a bare date means the end of that day.

    Raises:
        ValueError: the text is none of these; the message shows examples.
    """
    words = text.strip()
    relative = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])(?:\s+ago)?", words)
    try:
        if relative:
            span = timedelta(**{_UNITS[relative[2]]: float(relative[1])})
            return ((at or datetime.now(UTC)) - span).timestamp()
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", words):
            return epoch(words) + (86400 if end else 0)
        return epoch(words)
    except (ValueError, OverflowError):
        raise ValueError(
            f"should be an age such as 3h or 2d, a date such as {date.today().isoformat()}, "
            f"or a time such as {datetime.now(UTC):%Y-%m-%dT%H:%M} (UTC), found {text!r}"
        ) from None


def said(text: str | None) -> str:
    """A stored time for people, to the second and without its zone: the heading says UTC."""
    return "-" if text is None else text[:19].replace("T", " ")
