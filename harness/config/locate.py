"""Says where a value of the composed configuration was written: file and line, or the override that set it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.config.composed import Composed, Keys, Layer

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CHAIN = 8  # `${a}` that names `${b}` and so on, before one gives up


def node_of(path: Path) -> yaml.Node | None:
    """The YAML file as nodes that know their lines; None where it cannot be read."""
    try:
        return yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return None


def deepest(node: yaml.Node | None, keys: Keys) -> tuple[int, int]:
    """How many of the keys exist below the node, and the line of the last one that does (0: none)."""
    line = depth = 0
    for key in keys:
        match node:
            case yaml.MappingNode():
                pair = next(((name, value) for name, value in reversed(node.value) if name.value == key), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            case yaml.SequenceNode() if key.isdigit() and int(key) < len(node.value):
                node = node.value[int(key)]
                line = node.start_mark.line + 1
            case _:
                break
        depth += 1
    return depth, line


@dataclass
class Locator:
    """Finds places in one composed configuration; reads each file once."""

    composed: Composed
    _nodes: dict[Path, yaml.Node | None] = field(default_factory=dict)

    def place(self, keys: Keys) -> str:
        """The override or `file:line` that this value, or the nearest one above it, came from."""
        for _ in range(_CHAIN):
            if override := self.override(keys):
                return f"override {override}"
            redirected = self._follow(keys)
            if redirected is None:
                break
            keys = redirected
        return self._file(keys)

    def override(self, keys: Keys) -> str | None:
        """The last override that set this value, as it was typed."""
        for one in reversed(self.composed.assignments):
            if not one.group and one.keys == keys[: len(one.keys)]:
                return one.text
        return None

    def _follow(self, keys: Keys) -> Keys | None:
        """Where the value stands if some key above it is `${another.node}`."""
        for length in range(len(keys) - 1, 0, -1):
            expression = self.composed.references.get(keys[:length], "")
            if expression.startswith("${") and expression.endswith("}") and ":" not in expression:
                named = expression[2:-1]
                if not named.startswith("."):
                    return (*named.split("."), *keys[length:])
        return None

    def _file(self, keys: Keys) -> str:
        best, where = 1, ""
        for layer in self.composed.layers:
            depth, line = self._find(layer, keys)
            if depth >= best:
                best, where = depth, f"{layer.shown}:{line}"
        return where or self._nowhere(keys)

    def _nowhere(self, keys: Keys) -> str:
        """A part that no file has: the choice that left it out, else the file that should have it."""
        for one in reversed(self.composed.assignments):
            if one.group and one.keys == keys[:1]:
                return f"override {one.text}"
        return "conf/config.yaml"

    def _find(self, layer: Layer, keys: Keys) -> tuple[int, int]:
        inside = len(layer.package)
        if keys[:inside] != layer.package:
            return 0, 0
        if layer.path not in self._nodes:
            self._nodes[layer.path] = node_of(layer.path)
        depth, line = deepest(self._nodes[layer.path], keys[inside:])
        return inside + depth, line or 1
