"""The parameters of every `_target_`, held against the schema of its signature."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.config.composed import Composed, Keys
from harness.config.sentences import Finding, findings
from harness.config.targets import POSITIONAL, SPECIAL, Schemas, shipped, targets_in


def target_findings(composed: Composed, described: Schemas) -> Iterator[Finding]:
    """What is wrong with the parameters of the targets; a node that `${…}` repeats is checked where it stands."""
    for keys, dotted in targets_in(composed.config):
        if any(keys[:length] in composed.references for length in range(1, len(keys) + 1)):
            continue
        schema = shipped().get(dotted) or described.get(dotted)
        if schema is None:
            continue
        if "error" in schema:
            yield Finding((*keys, "_target_"), f"{dotted}: {schema['error']}", str(schema.get("hint", "")))
        else:
            yield from _parameters(schema, _node(composed.config, keys), keys)


def _node(config: Any, keys: Keys) -> dict[str, Any]:
    for key in keys:
        config = config[int(key)] if isinstance(config, list) else config[key]
    assert isinstance(config, dict)
    return config


def _parameters(schema: Mapping[str, Any], node: Mapping[str, Any], keys: Keys) -> list[Finding]:
    """Objects that are built from nodes of their own are checked there, not against the annotation here."""
    built = {name for name, value in node.items() if isinstance(value, Mapping) and "_target_" in value}
    given = {name: value for name, value in node.items() if name not in SPECIAL | built}
    positional = list(schema.get(POSITIONAL, []))
    arguments = node.get("_args_")
    by_position = len(arguments) if isinstance(arguments, list) else 0
    free = set(positional) if node.get("_partial_") is True else set(positional[:by_position])
    required = [name for name in schema.get("required", []) if name not in free | built]
    found = findings({**schema, "required": required}, given, keys)
    return [finding for finding in found if not _inside_built(finding.keys[len(keys) :], node)]


def _inside_built(keys: Keys, node: Any) -> bool:
    """Whether the path leads into an object that is built from a node of its own, as one item of a list."""
    for key in keys:
        if isinstance(node, Mapping):
            node = node.get(key)
        elif isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        if isinstance(node, Mapping) and "_target_" in node:
            return True
    return False
