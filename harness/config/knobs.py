"""The keys of a YAML file with their values, lines and comments, for people who ask what can be turned."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.config.composed import Keys
from harness.config.locate import node_of

_SWEPT = ("hydra", "sweeper", "params")


@dataclass(frozen=True)
class Knob:
    """One value of a YAML file that can be changed."""

    keys: Keys
    value: Any
    comment: str
    shown: str
    line: int

    @property
    def dotted(self) -> str:
        """The key as an override spells it."""
        return ".".join(self.keys)

    @property
    def place(self) -> str:
        """Where it is written."""
        return f"{self.shown}:{self.line}"


def knobs_of(path: Path, shown: str, package: Keys = ()) -> list[Knob]:
    """Every value of the file, lists as a whole; of Hydra's own part only what is swept over."""
    node = node_of(path)
    if not isinstance(node, yaml.MappingNode):
        return []
    reader = _Reader(path.read_text(encoding="utf-8").splitlines(), shown)
    under = () if _is_global(path) else package
    found = [knob for knob in reader.walk(node, under, "") if knob.keys[0] != "defaults"]
    return [knob for knob in found if knob.keys[0] != "hydra" or knob.keys[:3] == _SWEPT]


def _is_global(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return "@package _global_" in file.readline()


@dataclass(frozen=True)
class _Reader:
    lines: list[str]
    shown: str

    def walk(self, node: yaml.MappingNode, above: Keys, inherited: str) -> Iterator[Knob]:
        for name, value in node.value:
            keys = (*above, str(name.value))
            comment = self._comment(name, value) or (inherited if node.flow_style else "")
            if isinstance(value, yaml.MappingNode) and value.value:
                yield from self.walk(value, keys, comment)
            else:
                yield Knob(keys, _plain(value), comment, self.shown, name.start_mark.line + 1)

    def _comment(self, name: yaml.Node, value: yaml.Node) -> str:
        """The comment behind the value, behind the key, or on the lines right above the key."""
        if isinstance(value, yaml.ScalarNode) or getattr(value, "flow_style", False):
            behind = self._behind(value.end_mark)
        else:
            behind = self._behind(name.end_mark)
        return behind or self._above(name.start_mark.line)

    def _behind(self, mark: yaml.Mark) -> str:
        line = self.lines[mark.line] if mark.line < len(self.lines) else ""
        before, found, comment = line[mark.column :].partition("#")
        return comment.strip() if found and not before.strip(" :") else ""

    def _above(self, line: int) -> str:
        block: list[str] = []
        while line > 0 and self.lines[line - 1].strip().startswith("#"):
            line -= 1
            block.insert(0, self.lines[line].strip().lstrip("# ").strip())
        return " ".join(block) if line > 0 else ""  # what begins on the first line is about the file


def _plain(node: yaml.Node) -> Any:
    """The value of a node, by YAML's own rules."""
    return yaml.safe_load(yaml.serialize(node))


def schema_at(schema: Mapping[str, Any], keys: Keys, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a schema that speaks of this path; empty where it says nothing."""
    for key in keys:
        while "$ref" in schema:
            schema = root["$defs"][str(schema["$ref"]).rpartition("/")[2]]
        schema = schema.get("properties", {}).get(key) or {}
    return schema


def spelled(value: Any) -> str:
    """A value as one would type it in an override or a YAML file."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
