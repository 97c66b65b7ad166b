"""Documents held against the JSON Schemas in `schemas/`, and older versions of them brought up to date."""

import json
import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import Problem, StoreLost
from harness.paths import data

# The version that is written of each kind of document. A step of UPGRADES turns a document of version n into n + 1, so
# a reader sees only the newest form. History: version 1 of every kind came with the first release; manifests of version
# 2 also hold what people add to a run later, where an imported run came from, its steps, and how far its ETA was off.
VERSIONS = {
    "result": 1,
    "event": 1,
    "request": 1,
    "manifest": 2,
    "baseline": 1,
    "scenario_metrics": 1,
    "comparison": 1,
    "export": 1,
    "ab": 1,
    "perf_test_results": 1,
    "suite": 1,
    "step": 1,
}
UPGRADES: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("manifest", 1): lambda old: {
        **{**old, "pinned": False, "notes": [], "origin": None},
        **{"work_digest": None, "steps": [], "eta": None},
    },
}


def path_of(kind: str) -> Path:
    """The schema file of a kind of document."""
    return data("schemas") / f"{kind}.schema.json"


def validate(document: Any, kind: str) -> list[Problem]:
    """All that is wrong with a document of this kind, each with its place; empty when it is right."""
    found = sorted(
        _validator(kind).iter_errors(document), key=lambda error: [str(part) for part in error.absolute_path]
    )
    return [Problem(".".join(map(str, error.absolute_path)) or kind, _shortened(error.message)) for error in found]


def read(path: Path, kind: str) -> dict[str, Any]:
    """A stored document in its newest form, whatever version it was written in.

    Raises:
        StoreLost: the file is missing, no JSON, of another kind, or of a newer version.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreLost(f"cannot read {path}: {error}") from error
    return upgraded(document, kind, str(path))


def upgraded(document: Any, kind: str, place: str) -> dict[str, Any]:
    """The document in its newest form.

    Raises:
        StoreLost: it is of another kind or of a newer version.
    """
    name, _, version = str(document.get("schema") if isinstance(document, dict) else None).partition("/")
    if name != f"harness.{kind}" or not version.isdigit():
        raise StoreLost(f"{place} is no document of the kind harness.{kind}")
    at = int(version)
    if at > VERSIONS[kind]:
        raise StoreLost(
            f"{place} is {name}/{at}, and this harness reads up to {name}/{VERSIONS[kind]}", "update the harness"
        )
    for step in range(at, VERSIONS[kind]):
        document = {**UPGRADES[kind, step](document), "schema": f"{name}/{step + 1}"}
    return dict(document)


@cache
def _validator(kind: str) -> Any:
    from jsonschema import Draft202012Validator, validators

    standard = Draft202012Validator.VALIDATORS["items"]

    def items(validator: Any, schema: Any, instance: Any, parent: Any) -> Iterator[Any]:
        # Ten thousand samples take the general path 0.2 s and this one 1 ms.
        plain = schema == {"type": "number"} and isinstance(instance, list)
        if not (plain and all(type(item) is float and math.isfinite(item) for item in instance)):
            yield from standard(validator, schema, instance, parent)

    schema = json.loads(path_of(kind).read_text(encoding="utf-8"))
    make: Any = validators.extend  # untyped in the stubs
    return make(Draft202012Validator, {"items": items})(schema)


def _shortened(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:150]} … {message[-140:]}"
