"""The metric catalogue: name, unit, kind, which direction is better, and meaning, said once and read by everyone."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from harness.errors import ConfigError, Problem
from harness.paths import data

Kind = Literal["histogram", "gauge", "counter"]
Better = Literal["lower", "higher", "none"]


@dataclass(frozen=True)
class Metric:
    """What a number means."""

    name: str
    unit: str
    kind: Kind = "histogram"
    better: Better = "none"
    meaning: str = ""


@functools.cache
def shipped() -> Mapping[str, Metric]:
    """Every metric declared in `conf/metrics/*.yaml`."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader reads a file in a seventh of the time
    found: dict[str, Metric] = {}
    for path in sorted((data("conf") / "metrics").glob("*.yaml")):
        for name, fields in (yaml.load(path.read_text(encoding="utf-8"), loader) or {}).items():  # noqa: S506 - safe loader
            if name in found:
                raise ConfigError([Problem(f"{path.name}: {name}", "this metric is declared twice")])
            found[name] = Metric(name, **fields)
    return found


def load_catalogue(extra: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Metric]:
    """The shipped catalogue with the user's own declarations (the key `metrics` of the configuration) on top."""
    catalogue = dict(shipped())
    for name, fields in (extra or {}).items():
        catalogue[name] = Metric(name, **cast(dict[str, Any], dict(fields)))
    return catalogue
