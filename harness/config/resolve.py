"""Turns an OmegaConf tree into plain data, one value at a time, so that every broken value is found."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import (
    GrammarParseError,
    InterpolationKeyError,
    MissingMandatoryValue,
    UnsupportedInterpolationType,
)

from harness.config import hints
from harness.config.composed import Keys

_NODE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_VARIABLE = re.compile(r"Environment variable '([^']+)' not found")
_QUOTED = re.compile(r"'([^']+)'")


@dataclass(frozen=True)
class Issue:
    """A value that could not be made out, and why."""

    keys: Keys
    message: str
    hint: str = ""


@dataclass
class Resolved:
    """Plain data, what was wrong on the way, and the raw text of every interpolation."""

    config: dict[str, Any] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    references: dict[Keys, str] = field(default_factory=dict)
    broken: set[Keys] = field(default_factory=set)


def resolve(tree: DictConfig) -> Resolved:
    """Everything but the `hydra` node as plain data; broken values are null and listed."""
    walk = _Walk()
    raw = OmegaConf.to_container(tree, resolve=False)
    assert isinstance(raw, dict)
    walk.known = list(_dotted(raw, ()))
    raw.pop("hydra", None)
    walk.result.config = walk.mapping(tree, raw, ())
    return walk.result


def _dotted(raw: Any, keys: Keys) -> list[str]:
    if not isinstance(raw, dict):
        return [".".join(keys)]
    below = [dotted for key, value in raw.items() for dotted in _dotted(value, (*keys, str(key)))]
    return [".".join(keys), *below] if keys else below


@dataclass
class _Walk:
    result: Resolved = field(default_factory=Resolved)
    known: list[str] = field(default_factory=list)
    inside: list[int] = field(default_factory=list)  # the nodes that are being expanded, to notice a circle
    silent: bool = False  # what `${model}` names is reported where it stands, not where it is used

    def mapping(self, node: DictConfig, raw: dict[Any, Any], keys: Keys) -> dict[str, Any]:
        return {str(key): self._value(node, key, below, (*keys, str(key))) for key, below in raw.items()}

    def _value(self, node: Any, key: Any, raw: Any, keys: Keys) -> Any:
        if isinstance(raw, str) and ("${" in raw or raw == "???"):
            return self._interpolated(node, key, raw, keys)
        return self._plain(node[key] if isinstance(raw, dict | list) else None, raw, keys)

    def _plain(self, node: Any, raw: Any, keys: Keys) -> Any:
        match raw:
            case dict():
                return self.mapping(node, raw, keys)
            case list():
                return [self._value(node, at, below, (*keys, str(at))) for at, below in enumerate(raw)]
            case float() if not math.isfinite(raw):
                return self._issue(keys, f"must be a finite number, found {raw}")
            case bool() | int() | float() | str() | None:
                return raw
        return self._issue(
            keys, f"must be text, a number, true, false, a list or a mapping, found {type(raw).__name__}"
        )

    def _interpolated(self, node: Any, key: Any, raw: str, keys: Keys) -> Any:
        if raw != "???":
            self.result.references.setdefault(keys, raw)
        try:
            value = node[key]
        except Exception as error:  # resolvers are functions, of users too, and raise what they like
            return self._failed(keys, raw, error)
        if not isinstance(value, DictConfig | ListConfig):
            return self._plain(None, value, keys)
        if id(value) in self.inside:
            return self._issue(keys, f"{raw} refers to itself")
        was_silent = self.silent
        self.silent = was_silent or _NODE.fullmatch(raw) is not None
        self.inside.append(id(value))
        try:
            return self._plain(value, OmegaConf.to_container(value, resolve=False), keys)
        finally:
            self.inside.pop()
            self.silent = was_silent

    def _failed(self, keys: Keys, raw: str, error: Exception) -> None:
        text = str(error).strip().split("\n")[0]
        variable = _VARIABLE.search(str(error))
        if isinstance(error, MissingMandatoryValue) or raw == "???":
            return self._issue(keys, "must be given", f"set it with an override: {'.'.join(keys)}=…")
        if variable:
            name = variable[1]
            hint = f"set it, or give a default: ${{oc.env:{name},value}}"
            return self._issue(keys, f"the environment variable {name} is not set", hint)
        if isinstance(error, InterpolationKeyError):
            name = (_QUOTED.search(text) or ["", raw])[1]
            return self._issue(keys, f"{raw} names {name!r}, which is not there", hints.did_you_mean(name, self.known))
        if isinstance(error, RecursionError) or "Recursive interpolation" in text:
            return self._issue(keys, f"{raw} refers to itself")
        if isinstance(error, UnsupportedInterpolationType | GrammarParseError):
            return self._issue(keys, f"{raw} cannot be read: {text}")
        return self._issue(keys, f"{raw} cannot be resolved: {text}")

    def _issue(self, keys: Keys, message: str, hint: str = "") -> None:
        self.result.broken.add(keys)
        if not self.silent:
            self.result.issues.append(Issue(keys, message, hint))
