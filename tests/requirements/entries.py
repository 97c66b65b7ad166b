"""The requirements as the YAML files of this folder tell them: what each asks for, what shows it, and what is open."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent
DOCUMENTS = ("harness.yaml", "llm.yaml", "tracking.yaml")


@dataclass(frozen=True)
class Requirement:
    """One requirement, with the tests or commands that show it and a sentence on what is not there yet."""

    id: str
    what: str
    seen_by: tuple[str, ...]
    open: str

    @property
    def state(self) -> str:
        """`seen`, `partly` (seen, and something is open) or `open` (nothing shows it)."""
        if not self.seen_by:
            return "open"
        return "partly" if self.open else "seen"


@dataclass(frozen=True)
class Document:
    """The requirements of one source, and the ids that the source has."""

    title: str
    ids: tuple[str, ...]
    requirements: tuple[Requirement, ...]


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, where PyYAML lets the last one win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            keys = [key.value for key, _ in node.value]
            twice = sorted({key for key in keys if keys.count(key) > 1})
            raise ValueError(f"line {node.start_mark.line + 1}: written twice: {', '.join(twice)}")
        return found


def expand(patterns: dict[str, int]) -> tuple[str, ...]:
    """All ids of patterns such as `{"E{}": 2}` (E1, E2) or `{"FR-{:03}": 1}` (FR-001), in their order."""
    return tuple(pattern.format(number) for pattern, last in patterns.items() for number in range(1, last + 1))


def document_of(text: str) -> Document:
    """The document that a YAML text holds.

    Raises:
        ValueError: a key stands twice in one mapping.
        TypeError: an entry has a key that is none of what, seen_by and open.
    """
    loaded = yaml.load(text, _Loader)  # a safe loader
    requirements = (_requirement(name, **entry) for name, entry in loaded["requirements"].items())
    return Document(loaded["title"], expand(loaded["ids"]), tuple(requirements))


def _requirement(name: str, what: str = "", seen_by: Iterable[str] = (), open: str = "") -> Requirement:  # noqa: A002 - the key of the YAML
    return Requirement(name, what, tuple(seen_by), open)


def documents() -> list[Document]:
    """All documents of this folder."""
    return [document_of((FOLDER / name).read_text(encoding="utf-8")) for name in DOCUMENTS]
