"""A composed configuration with everything that is needed to say where each value came from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from harness.config.options import Groups
from harness.errors import Problem

Mode = Literal["RUN", "MULTIRUN"]
Keys = tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """One YAML file of the composition and the key path that its content was put under."""

    path: Path
    shown: str
    package: Keys


@dataclass(frozen=True)
class Assignment:
    """One override: its text as the person typed it, and the key path that it sets."""

    text: str
    keys: Keys
    group: bool = False


@dataclass(frozen=True)
class Composed:
    """What YAML and overrides amount to: plain data, the choices made, and the problems met on the way."""

    config: dict[str, Any]
    choices: dict[str, str | None]
    sources: dict[str, str]
    overrides: list[str]
    mode: Mode
    job: bool = False  # one of several runs of a sweep
    problems: list[Problem] = field(default_factory=list)
    assignments: tuple[Assignment, ...] = ()
    groups: Groups = field(default_factory=dict, repr=False)
    unresolved: frozenset[Keys] = frozenset()  # a problem at or above these paths has been reported already
    references: Mapping[Keys, str] = field(default_factory=dict, repr=False)  # the text of each interpolation
    trace: Callable[[], list[Layer]] = field(default=list, repr=False, compare=False)

    @cached_property
    def layers(self) -> list[Layer]:
        """The files in the order of merging; found on demand, since only messages and `describe` need them."""
        return self.trace()

    def is_unresolved(self, keys: Keys) -> bool:
        """Whether the value at this path is known to be broken already."""
        return any(keys[: len(broken)] == broken for broken in self.unresolved)
