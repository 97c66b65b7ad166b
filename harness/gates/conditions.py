"""Whether a rule applies to a run: its `when` compared with the composed configuration and the device."""

from collections.abc import Mapping
from typing import Any

_MISSING = object()


def unmet(when: Mapping[str, Any], document: Mapping[str, Any]) -> str | None:
    """The first condition that this run does not meet, as text; None when the rule applies.

    Raises:
        LookupError: a condition names nothing in the configuration, so it could never be met.
    """
    for path, wanted in when.items():
        found = _lookup(path, document)
        choices = wanted if isinstance(wanted, list | tuple) else [wanted]
        if not any(_same(found, choice) for choice in choices):
            return f"{path}={_text(wanted)}, here {_text(found)}"
    return None


def _lookup(path: str, document: Mapping[str, Any]) -> object:
    """The device as resolved, an option's name for a whole group, else the value at the dotted path."""
    if path in ("device", "device.kind"):
        return document["device"]
    node: object = document["config"]
    for part in path.split("."):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            node = node.get(part, _MISSING) if isinstance(node, Mapping) else _MISSING
        if node is _MISSING:
            raise LookupError(f"when: the configuration has no {path!r}")
    if isinstance(node, Mapping) and path in document["choices"]:
        return document["choices"][path]
    return node


def _same(found: object, wanted: object) -> bool:
    """Equality without Python's `1 == True`."""
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


def _text(value: object) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
