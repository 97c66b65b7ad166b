"""A JSON Schema of what a `_target_` takes, read from its signature, so that the signature is the only truth.

`python -m harness.config.signature` writes schemas/targets.schema.json for every `_target_` of the shipped YAML.
"""

import collections.abc
import dataclasses
import enum
import functools
import importlib
import inspect
import json
import sys
import traceback
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union

from harness.config.targets import POSITIONAL, targets_in
from harness.errors import BenchmarkFailed
from harness.paths import data
from harness.ranges import Range

Schema = dict[str, Any]

_SIMPLE: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Path: {"type": "string"},
    type(None): {"type": "null"},
    None: {"type": "null"},
}
_LISTS: tuple[Any, ...] = (list, tuple, set, frozenset, collections.abc.Set, collections.abc.Iterable)
_LISTS += (collections.abc.Sequence, collections.abc.Collection, collections.abc.MutableSequence)
_MAPPINGS: tuple[Any, ...] = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_BOUNDS = {"min": "minimum", "max": "maximum", "above": "exclusiveMinimum", "below": "exclusiveMaximum"}
_DEEPEST = 8  # a dataclass that holds itself ends here: what lies below is accepted
_WHERE = "the current folder and the parent folder of each --config-dir are searched"


def schema_of(target: Callable[..., Any]) -> Schema:
    """The schema of the keyword parameters of a class or function; what cannot be known is accepted."""
    about = (inspect.getdoc(target) or "").partition("\n")[0]
    head: Schema = {"description": about} if about and getattr(target, "__doc__", None) else {}
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # many functions written in C have none
        return {**head, "type": "object"}
    hints = _hints(target)
    properties: Schema = {}
    required: list[str] = []
    positional: list[str] = []
    for name, one in signature.parameters.items():
        if getattr(hints.get(name), "given_by_harness", False):  # no business of the YAML
            continue
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD):
            positional.append(name)
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
            properties[name] = _annotation(hints.get(name, one.annotation), 0)
            if one.default is one.empty:
                required.append(name)
    schema = _object(properties, required)
    if any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values()):
        schema["additionalProperties"] = True
    return {**head, **schema, **({POSITIONAL: positional} if positional else {})}


def _hints(target: Callable[..., Any]) -> Mapping[str, Any]:
    described = target.__init__ if isinstance(target, type) else target  # type: ignore[misc] # only its hints are read
    try:
        return typing.get_type_hints(described, include_extras=True)
    except Exception:  # an annotation that names what is imported for type checkers only
        return {}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _annotation(kind: Any, depth: int) -> Schema:
    """The schema of one annotation; `{}` accepts anything."""
    if isinstance(kind, typing.NewType):
        return _annotation(kind.__supertype__, depth)
    if kind in _SIMPLE if isinstance(kind, collections.abc.Hashable) else False:
        return dict(_SIMPLE[kind])
    if depth > _DEEPEST:
        return {}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _bounded(_annotation(arguments[0], depth), arguments[1:])
    if origin in (typing.Required, typing.NotRequired, typing.Final, typing.ClassVar):
        return _annotation(arguments[0], depth)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return _union([_annotation(one, depth) for one in arguments])
    return _container(kind, origin or kind, arguments, depth)


def _container(kind: Any, origin: Any, arguments: tuple[Any, ...], depth: int) -> Schema:
    if origin in _MAPPINGS:
        below = _annotation(arguments[1], depth + 1) if len(arguments) == 2 else {}
        return {"type": "object", **({"additionalProperties": below} if below else {})}
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        items = [_annotation(one, depth + 1) for one in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin in _LISTS:
        below = _annotation(arguments[0], depth + 1) if arguments else {}
        return {"type": "array", **({"items": below} if below else {})}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {}
    if typing.is_typeddict(kind):
        fields = typing.get_type_hints(kind, include_extras=True)
        return _object(
            {name: _annotation(one, depth + 1) for name, one in fields.items()}, sorted(kind.__required_keys__)
        )
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass(kind, depth)
    return {}


def _dataclass(kind: type, depth: int) -> Schema:
    hints = _hints(kind)
    fields = [one for one in dataclasses.fields(kind) if one.init]
    required = [
        one.name for one in fields if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    return _object({one.name: _annotation(hints.get(one.name, Any), depth + 1) for one in fields}, required)


def _bounded(schema: Schema, extras: Iterable[Any]) -> Schema:
    bounds = {
        keyword: getattr(extra, name)
        for extra in extras
        if isinstance(extra, Range)
        for name, keyword in _BOUNDS.items()
        if getattr(extra, name) is not None
    }
    if "anyOf" in schema:
        return {"anyOf": [{**one, **bounds} if _is_numeric(one) else one for one in schema["anyOf"]]}
    return {**schema, **bounds}


def _is_numeric(schema: Schema) -> bool:
    kinds = schema.get("type", [])
    return bool({"integer", "number"} & set([kinds] if isinstance(kinds, str) else kinds))


def _union(branches: list[Schema]) -> Schema:
    """One schema with several types where that says the same, so that messages stay short."""
    if any(not one for one in branches):
        return {}
    nullable = [one for one in branches if one != _SIMPLE[None]]
    if len(nullable) < len(branches) and len(nullable) == 1 and "enum" in nullable[0]:
        return {"enum": [*nullable[0]["enum"], None]}
    if all(isinstance(one.get("type"), str) for one in branches) and sum(len(one) > 1 for one in branches) <= 1:
        merged = functools.reduce(lambda one, other: {**one, **other}, branches)
        return {**merged, "type": list(dict.fromkeys(one["type"] for one in branches))}
    return {"anyOf": branches}


def describe_targets(dotted_names: Iterable[str]) -> dict[str, Schema]:
    """The schema of each target, or `{"error": …, "hint": …}` where it cannot be imported or called; imports them."""
    return {dotted: _described(dotted) for dotted in dotted_names}


def _described(dotted: str) -> Schema:
    try:
        target = find(dotted)
    except LookupError as error:
        return {"error": str(error.args[0]), "hint": str(error.args[1])}
    except (Exception, SystemExit) as error:  # whatever a user's module does while it is imported
        return {"error": f"its import fails: {type(error).__name__}: {error} ({_last_line(error)})", "hint": ""}
    if not callable(target):
        return {"error": f"is not callable, it is a {type(target).__name__}", "hint": "name a class or a function"}
    return schema_of(target)


def find(dotted: str) -> Any:
    """The object of a dotted name.

    Raises:
        LookupError: there is no such module or attribute; its two arguments are the reason and a hint.
        Exception: whatever the import of the module raised.
    """
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            continue
        return _attribute(found, name, parts[length:])
    raise LookupError(f"there is no module {parts[0]!r}", _WHERE)


def _attribute(found: Any, name: str, parts: list[str]) -> Any:
    from harness.config.hints import did_you_mean

    for part in parts:
        if not hasattr(found, part):
            kind = "module" if inspect.ismodule(found) else "object"
            place = f" ({found.__file__})" if getattr(found, "__file__", None) else ""
            raise LookupError(f"the {kind} {name!r}{place} has no {part!r}", did_you_mean(part, dir(found)))
        found, name = getattr(found, part), f"{name}.{part}"
    return found


def _last_line(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "no place known"


def shipped_targets() -> list[str]:
    """Every `_target_` of the shipped YAML files."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    files = sorted(data("conf").rglob("*.yaml"))
    loaded = [yaml.load(path.read_text(encoding="utf-8"), loader) for path in files]  # noqa: S506 - safe loader
    return sorted({dotted for one in loaded for _, dotted in targets_in(one)})


def shipped_document() -> Schema:
    """The content of schemas/targets.schema.json as the code stands.

    Raises:
        BenchmarkFailed: a shipped target cannot be imported.
    """
    described = describe_targets(shipped_targets())
    broken = [f"{dotted}: {schema['error']}" for dotted, schema in described.items() if "error" in schema]
    if broken:
        raise BenchmarkFailed("shipped targets that cannot be described:\n  " + "\n  ".join(broken))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:harness:targets:1",
        "title": "The parameters of every `_target_` in the shipped YAML",
        "description": "Generated by `python -m harness.config.signature` from the signatures; do not edit.",
        "$defs": described,
    }


def write_shipped() -> Path:
    """Writes schemas/targets.schema.json anew and gives back its path."""
    path = data("schemas") / "targets.schema.json"
    path.write_text(json.dumps(shipped_document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{write_shipped()}\n")
