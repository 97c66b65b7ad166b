"""JSON that is the same bytes for the same content, the digests over it, and what makes a value fit for it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 20


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, ASCII, no NaN.

    Raises:
        ValueError: the value holds a number that JSON does not have.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def pretty(value: Any) -> bytes:
    """JSON for files that people open too: indented, in the order of the document, a list of numbers on one line."""
    return (_Pretty().text(value, "") + "\n").encode()


def digest(value: Any) -> str:
    """The sha256 of the canonical spelling."""
    import hashlib  # late: it takes 4 ms, and reading verbs do without

    return hashlib.sha256(canonical(value)).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    import hashlib

    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            found.update(block)
    return found.hexdigest()


def clean(value: Any, place: str = "", notes: list[str] | None = None) -> Any:
    """The value as plain JSON: tuples become lists, unknown objects their text, non-finite numbers null.

    Each replacement that loses something is added to `notes` with its place, so that it is said rather than hidden.
    """
    notes = [] if notes is None else notes
    if value is None or isinstance(value, bool | int):
        return value if value is None or isinstance(value, bool) else int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        notes.append(f"{place} was {value} and is stored as null")
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(clean(str(key))): clean(item, f"{place}.{key}".lstrip("."), notes) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item, f"{place}.{i}".lstrip("."), notes) for i, item in enumerate(value)]
    if not isinstance(value, Path):
        notes.append(f"{place} was of type {type(value).__name__} and is stored as text")
    return clean(str(value))


class _Pretty:
    """Indented JSON without a line per number: ten thousand samples are one line, not ten thousand.

    `json.dumps` makes an encoder for each call, which for the thousands of numbers of a result took 15 ms.
    """

    _encode = json.JSONEncoder(allow_nan=False).encode
    _quoted = staticmethod(json.encoder.encode_basestring_ascii)

    def text(self, value: Any, margin: str) -> str:
        kind = type(value)
        if kind is float and math.isfinite(value):
            return repr(value)
        if kind is str:
            return self._quoted(value)
        if value is None or kind is bool:
            return "null" if value is None else "true" if value else "false"
        inner = margin + "  "
        if (kind is dict or isinstance(value, Mapping)) and value:
            lines = [f"{inner}{self._key(key)}: {self.text(item, inner)}" for key, item in value.items()]
            return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
        if kind is list and any(isinstance(item, dict | list) and item for item in value):
            return "[\n" + ",\n".join(inner + self.text(item, inner) for item in value) + f"\n{margin}]"
        return self._encode(value)

    def _key(self, key: Any) -> str:
        return self._quoted(key) if type(key) is str else json.dumps(key)
