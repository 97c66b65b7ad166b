"""What a JSON Schema asks for, in plain words; without the validator, which takes a tenth of a second to import."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.config import hints

TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def words(schema: Mapping[str, Any]) -> str:
    """What a schema asks for, in a few words: `a whole number >= 1 or null`."""
    if "const" in schema:
        return hints.shown(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(str(hints.plain(choice)) for choice in schema["enum"])
    if "anyOf" in schema:
        return either([words(branch) for branch in schema["anyOf"]])
    kinds = types_of(schema)
    bounds = " and ".join(f"{sign} {schema[key]}" for key, sign in BOUNDS.items() if key in schema)
    return either([named(kind, schema, bounds) for kind in kinds]) if kinds else "anything"


def named(kind: str, schema: Mapping[str, Any], bounds: str) -> str:
    """One type of a schema in words, with its bounds or what its items are."""
    if kind in ("integer", "number") and bounds:
        return f"{TYPES[kind]} {bounds}"
    if kind == "string" and "format" in schema:
        return f"a {schema['format']}"
    if kind == "array" and isinstance(schema.get("items"), Mapping) and schema["items"]:
        return f"a list, each {words(schema['items'])}"
    return TYPES[kind]


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """The types that a schema allows."""
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def either(parts: Sequence[str]) -> str:
    """`a, b or c`, each once; null first where one of the others is a list of words itself."""
    unique = list(dict.fromkeys(parts))
    if "null" in unique and any(", " in part for part in unique):
        unique = ["null", *(part for part in unique if part != "null")]
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}"
