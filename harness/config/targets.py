"""Where the `_target_` nodes of a configuration are, and what the shipped ones take."""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness.config.composed import Composed, Keys
from harness.paths import data

SPECIAL = frozenset({"_target_", "_partial_", "_args_", "_recursive_", "_convert_"})  # read by Hydra, not passed on
POSITIONAL = "x-positional"  # our keyword in a signature's schema: the parameters that may be given by position

Schemas = Mapping[str, Mapping[str, Any]]


@functools.cache
def shipped() -> Schemas:
    """The schemas of the targets that the shipped YAML names, so that no worker is needed to check them."""
    path = data("schemas") / "targets.schema.json"
    schemas: Schemas = json.loads(path.read_text(encoding="utf-8"))["$defs"] if path.is_file() else {}
    return schemas


def targets_in(config: Any, keys: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Every `_target_` of a plain configuration with the path of its node."""
    if isinstance(config, Mapping):
        if isinstance(config.get("_target_"), str):
            yield keys, config["_target_"]
        for key, below in config.items():
            yield from targets_in(below, (*keys, str(key)))
    elif isinstance(config, list | tuple):
        for at, below in enumerate(config):
            yield from targets_in(below, (*keys, str(at)))


def undescribed(composed: Composed) -> list[str]:
    """The targets whose signature only a worker can tell, because they are a user's."""
    return sorted({dotted for _, dotted in targets_in(composed.config)} - set(shipped()))
