"""JSON Schema in plain words: what a schema asks for, and what an error of the validator means to a person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, validators

from harness.config import hints
from harness.config.composed import Keys
from harness.config.schemawords import BOUNDS, either, named, types_of, words


def _is_integer(_: Any, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # 3.0 is no count of iterations


_TYPES = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
Validator: Any = validators.extend(Draft202012Validator, type_checker=_TYPES)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Finding:
    """Something wrong at a key path, in words."""

    keys: Keys
    message: str
    hint: str = ""
    wanted: str = ""  # the near miss that this key was probably meant to be


def findings(schema: Mapping[str, Any], value: Any, keys: Keys = ()) -> list[Finding]:
    """Everything that the schema has against the value; the paths start with `keys`."""
    errors = sorted(Validator(schema).iter_errors(value), key=lambda error: [str(step) for step in error.path])
    found = [finding for error in errors for finding in _explain(error, keys)]
    meant = {(*finding.keys[:-1], finding.wanted) for finding in found if finding.wanted}
    return [finding for finding in found if finding.message != MISSING or finding.keys not in meant]


MISSING = "must be given"


def _explain(error: Any, prefix: Keys) -> Iterator[Finding]:
    keys = (*prefix, *(str(step) for step in error.absolute_path))
    value, rule = error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            yield from _unknown_keys(error, keys)
        case "required":
            yield from (Finding((*keys, name), MISSING) for name in rule if name not in value)
        case "type":
            kinds = either([named(kind, error.schema, "") for kind in types_of(error.schema)])
            yield Finding(keys, f"must be {kinds}, {hints.found(value)}", _type_hint(error))
        case "enum" | "const":
            yield _choice(keys, [rule] if error.validator == "const" else rule, value)
        case "anyOf" | "oneOf":
            yield from _best_branch(error, prefix)
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            yield Finding(keys, f"must be {BOUNDS[error.validator]} {rule}, found {hints.shown(value)}")
        case "pattern" | "maxLength" if "propertyNames" in error.absolute_schema_path:
            yield Finding((*keys, str(value)), f"is not a {error.schema.get('format', 'name')}")
        case _:
            yield Finding(keys, _other(error))


def _other(error: Any) -> str:
    rule, schema = error.validator_value, error.schema
    value = hints.shown(error.instance)
    said = {
        "pattern": f"must be a {schema.get('format', f'text like {rule}')}, found {value}",
        "uniqueItems": "must not hold the same item twice",
        "minItems": f"must hold at least {rule}, found {value}",
        "maxItems": f"must hold at most {rule}, found {value}",
        "minLength": f"must not be shorter than {rule}, found {value}" if rule != 1 else "must not be empty",
        "maxLength": f"must not be longer than {rule} characters",
    }
    return said.get(str(error.validator), str(error.message))


def _unknown_keys(error: Any, keys: Keys) -> Iterator[Finding]:
    known = error.schema.get("properties", {})
    for name in error.instance:
        if name not in known:
            absent = [key for key in known if key not in error.instance]
            near = hints.nearest(str(name), absent) or hints.nearest(str(name), known)
            hint = f"did you mean {near!r}?" if near else _listing(known)
            yield Finding((*keys, str(name)), "unknown key", hint, near)


def _listing(known: Mapping[str, Any]) -> str:
    return f"known here are {', '.join(sorted(known))}" if 0 < len(known) <= hints.MANY else ""


def _choice(keys: Keys, choices: Sequence[Any], value: Any) -> Finding:
    listed = ", ".join(hints.plain(choice) for choice in choices)
    hint = hints.did_you_mean(value, [str(choice) for choice in choices]) if isinstance(value, str) else ""
    if isinstance(value, bool) and any(isinstance(choice, str) for choice in choices):
        hint = "YAML reads a bare on, off, yes or no as true or false"
    return Finding(keys, f"must be one of {listed}; {hints.found(value)}", hint)


def _type_hint(error: Any) -> str:
    kinds, value = types_of(error.schema), error.instance
    if "array" in kinds and isinstance(value, str | int | float) and not isinstance(value, bool):
        return f"for a list of one write [{hints.plain(value)}]"
    if "string" in kinds and isinstance(value, bool | int | float):
        return f'for text write it in quotes: "{hints.plain(value)}"'
    if isinstance(value, str) and {"integer", "number"} & set(kinds) and _is_number(value):
        return "write it without quotes"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _best_branch(error: Any, prefix: Keys) -> Iterator[Finding]:
    """The complaints of the one branch that fits the value's type, else all branches in words."""
    by_branch: dict[int, list[Any]] = {}
    for below in error.context or []:
        by_branch.setdefault(int(below.relative_schema_path[0]), []).append(below)
    fitting = [below for below in by_branch.values() if not any(_is_about_type(one) for one in below)]
    if len(fitting) == 1:
        for below in fitting[0]:
            yield from _explain(below, prefix)
        return
    keys = (*prefix, *(str(step) for step in error.absolute_path))
    yield Finding(keys, f"must be {words(error.schema)}; {hints.found(error.instance)}")


def _is_about_type(error: Any) -> bool:
    return error.validator in ("type", "enum", "const") and not error.relative_path
