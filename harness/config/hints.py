"""Words for the person who mistyped: near misses, values and types in plain language, and quoting."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LONGEST = 60  # characters of a value that a message repeats
MANY = 12  # more choices than this are not listed

_RESERVED = {
    ",": "a comma separates the values of a sweep",
    ";": "`;` is not part of Hydra's grammar",
    "=": "a second `=` is not part of Hydra's grammar",
    ">": "`>` is not part of Hydra's grammar",
    "<": "`<` is not part of Hydra's grammar",
    "&": "`&` is not part of Hydra's grammar",
    "#": "`#` is not part of Hydra's grammar",
    "!": "`!` is not part of Hydra's grammar",
    "`": "a backtick is not part of Hydra's grammar",
    "'": "a quote must be closed, and escaped inside quotes of its kind",
    '"': "a quote must be closed, and escaped inside quotes of its kind",
    "(": "parentheses call a sweep function",
    ")": "parentheses call a sweep function",
    "[": "brackets make a list",
    "]": "brackets make a list",
    "{": "braces make a mapping",
    "}": "braces make a mapping",
    ":": "`:` belongs into braces",
}


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is nearest, empty where none is near."""
    near = get_close_matches(word, list(known), 1, 0.6)
    return near[0] if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest known word as a question, empty where nothing is near."""
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else ""


def choose(word: str, known: Iterable[str]) -> str:
    """The nearest known word, else the choices when they are few."""
    names = sorted(known)
    near = did_you_mean(word, names)
    if near or not names:
        return near
    return f"choose one of {', '.join(names)}" if len(names) <= MANY else f"{len(names)} are known"


def shorten(text: str) -> str:
    """The text cut to what a line of a message can carry."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def shown(value: Any) -> str:
    """A value as YAML would write it, cut to what a message can carry."""
    match value:
        case bool():
            return str(value).lower()
        case None:
            return "null"
        case str():
            return shorten(repr(value))
        case int() | float():
            return shorten(repr(value))
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list() | tuple():
            return f"a list of {len(value)}" if value else "an empty list"
    return shorten(repr(value))


def plain(value: Any) -> str:
    """A choice as one would type it, without quotes."""
    return value if isinstance(value, str) else shown(value)


def kind_of(value: Any) -> str:
    """The type of a value in words, empty where the value says it itself."""
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int():
            return "a whole number"
        case float():
            return "a number"
    return ""


def found(value: Any) -> str:
    """The value found with its type, for a message about a wrong type."""
    kind = kind_of(value)
    return f"found {shown(value)} ({kind})" if kind else f"found {shown(value)}"


def quote(key: str, value: str) -> str:
    """How to write a text value so that neither the shell nor Hydra takes it apart."""
    inner = value.strip("\"'").replace("\\", "\\\\").replace('"', '\\"')
    outer = f'{key}="{inner}"'.replace("'", "'\\''")
    return f"'{outer}'"


def syntax(text: str) -> str:
    """What to do about an override that Hydra's grammar does not take."""
    key, equals, value = text.partition("=")
    if not equals:
        return "an override is `key=value`, `group=option`, `+key=value` or `~key`"
    if not re.fullmatch(r"(\+\+?|~)?[\w.$/@:-]+", key):
        return "a key is made of letters, digits, `_`, `-` and dots; list items are `rules.0`, not `rules[0]`"
    reason = next((_RESERVED[character] for character in value if character in _RESERVED), "")
    advice = f"quote the value twice, once for the shell and once for Hydra: {quote(key, value)}"
    return f"{reason}; {advice}" if reason else advice
