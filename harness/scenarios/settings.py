"""Groups of settings, as YAML gives them and as the runners use them."""

from collections.abc import Mapping
from typing import Any, TypeVar

Settings = TypeVar("Settings")


def settled(kind: type[Settings], node: Settings | Mapping[str, Any]) -> Settings:
    """A group of settings as its dataclass; YAML gives a plain mapping, already checked against the same class."""
    return kind(**node) if isinstance(node, Mapping) else node
