"""Reads overrides one by one with Hydra's grammar, so that every bad one is named and the good ones still count."""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, ValueType
from omegaconf import DictConfig, OmegaConf, open_dict

from harness.config import hints
from harness.config.composed import Assignment, Keys
from harness.config.options import ENVIRONMENT, NOTHING, Groups
from harness.errors import Problem
from harness.paths import data

PRIMARY = "config"
_KEY = re.compile(r"(?:\+\+?|~)?([\w./$-]+)")


@dataclass(frozen=True)
class Item:
    """One usable override: as the person typed it, as Hydra is to read it, and parsed."""

    typed: str
    text: str
    parsed: Override
    choice: bool

    @property
    def keys(self) -> Keys:
        """The path of configuration keys that it sets."""
        return tuple(self.parsed.key_or_group.replace("/", ".").split("."))

    @property
    def is_hydra(self) -> bool:
        """Whether it speaks to Hydra instead of to the harness."""
        return bool(self.parsed.is_hydra_override())

    @property
    def is_sweep(self) -> bool:
        """Whether it stands for several values."""
        return bool(self.parsed.is_sweep_override())

    @property
    def rewritten(self) -> str:
        """The text for Hydra: values are forced, so that unknown keys reach our checker instead of Hydra's."""
        bare = self.text.lstrip("+")
        if self.choice:
            return bare if self.parsed.key_or_group in chosen_by_default() else self.text
        return self.text if self.is_hydra or self.parsed.is_delete() else f"++{bare}"

    @property
    def assignment(self) -> Assignment:
        """What it sets, for the one who asks where a value came from."""
        return Assignment(self.typed, self.keys, self.choice)


@dataclass(frozen=True)
class Read:
    """The overrides that can be used, a problem for each other one, and the key paths that those were meant for."""

    texts: list[str]
    items: list[Item]
    problems: list[Problem]
    spoilt: frozenset[Keys]


@functools.cache
def chosen_by_default() -> frozenset[str]:
    """The groups of the defaults list of config.yaml; all others are Hydra's or a user's, and keep their `+`."""
    loaded = OmegaConf.to_container(OmegaConf.load(data("conf") / f"{PRIMARY}.yaml"))
    entries = loaded.get("defaults", []) if isinstance(loaded, dict) else []
    keys = [str(key) for entry in entries if isinstance(entry, dict) for key in entry]
    return frozenset(key.split()[-1].strip("/") for key in keys)


def keys_of(text: str) -> Keys:
    """The key path that an override speaks of, as far as it can be told from a text that may not parse."""
    found = _KEY.match(text)
    return tuple(found[1].replace("/", ".").strip(".").split(".")) if found else ()


def read(overrides: Sequence[str], groups: Groups) -> Read:
    """Parses every override and checks the options chosen against the folders."""
    items: list[Item] = []
    problems: list[Problem] = []
    spoilt: set[Keys] = set()
    previous = ""
    for text in overrides:
        wrong: list[Problem]
        try:
            item = parse(text, groups)
            wrong = list(_wrong(item, groups))
        except Exception as error:  # Hydra's grammar and its casts raise many kinds
            wrong = [_syntax_problem(text, previous, error, groups)]
        else:
            if not wrong:
                items.append(item)
        if wrong:
            spoilt.add(keys_of(text))
            problems += wrong
        previous = text
    return Read(list(overrides), items, problems, frozenset(spoilt - {()}))


def parse(text: str, groups: Groups) -> Item:
    """One override, with patterns written out and `group=null` turned into what Hydra takes instead.

    Raises:
        HydraException: the text does not follow Hydra's grammar.
        ValueError: a pattern matches no option.
    """
    parsed = _parsed(text)
    name = parsed.key_or_group
    choice = (name in groups or name.startswith("hydra/")) and not isinstance(parsed.value(), dict)
    usable = text
    if isinstance(parsed.value(), Glob):
        usable = f"{parsed.get_key_element()}=choice({','.join(_matching(parsed, groups))})"
    elif choice and parsed.value() is None and not parsed.is_delete():
        usable = f"scenario={NOTHING}" if name == "scenario" else f"~{name}"  # Hydra takes no null for a group
    return Item(text, usable, parsed if usable == text else _parsed(usable), choice)


def _parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


def _matching(parsed: Override, groups: Groups) -> list[str]:
    """Hydra's own `glob` does not look into `hydra.searchpath`, where the user's folders are."""
    known = [name for name in groups.get(parsed.key_or_group, {}) if name != NOTHING]
    pattern: Any = parsed.value()
    matching = sorted(pattern.filter(known))
    if not matching:
        raise ValueError(f"the pattern matches no {parsed.key_or_group}; {hints.choose('', known)}")
    return matching


def _wrong(item: Item, groups: Groups) -> Iterator[Problem]:
    name, place = item.parsed.key_or_group, f"override {item.typed}"
    if name == "hydra.searchpath":
        yield Problem(place, "the search path is set by the harness", f"use --config-dir, or {ENVIRONMENT}")
    if item.parsed.package is not None and not item.choice:
        yield Problem(
            place, f"there is no group {name!r} to put at {item.parsed.package!r}", hints.choose(name, groups)
        )
    if not item.choice or item.parsed.is_delete() or name not in groups:
        return
    known = set(groups[name])
    for value in _values(item.parsed):
        if isinstance(value, list):
            yield Problem(place, f"{name} takes one option, {hints.found(value)}")
        elif value is not None and str(value) not in known and "${" not in str(value):
            yield Problem(place, f"unknown {name} {str(value)!r}", hints.choose(str(value), known - {NOTHING}))


def _values(parsed: Override) -> list[Any]:
    if not parsed.is_choice_sweep():
        return [parsed.value()]
    return [value.strip("\"'") for value in parsed.sweep_string_iterator()]


def _syntax_problem(text: str, previous: str, error: Exception, groups: Groups) -> Problem:
    place = f"override {text}"
    if isinstance(error, ValueError):
        return Problem(place, str(error))
    if "=" in text or text.startswith(("+", "~")):
        return Problem(place, "cannot be read as an override", hints.syntax(text))
    group = next((group for group, known in groups.items() if text in known), None)
    if group is not None:
        return Problem(place, "not an override", f"did you mean {f'{group}={text}'!r}?")
    if "=" in previous and not previous.endswith("="):
        key, _, value = previous.partition("=")
        advice = f"if it belongs to the one before, quote the whole: {hints.quote(key, f'{value} {text}')}"
        return Problem(place, "not an override", advice)
    return Problem(place, "not an override", hints.syntax(text))


def sweep_problem(item: Item) -> Problem:
    """What is wrong with several values where one run was asked for."""
    place = f"override {item.typed}"
    if item.parsed.value_type != ValueType.SIMPLE_CHOICE_SWEEP:
        return Problem(place, "stands for several runs", "add -m to run them all")
    key, _, value = item.typed.partition("=")
    advice = f"add -m to run them all, or quote the text: {hints.quote(key, value)}"
    return Problem(place, "several values where one run was asked for", advice)


def put(config: DictConfig, item: Item) -> Problem | None:
    """Sets or deletes one value in place, in the way in which Hydra treats `++key=value` and `~key`."""
    key, place = item.parsed.key_or_group, f"override {item.typed}"
    try:
        if (elsewhere := _reference_above(config, key)) is not None:
            above, expression, instead = elsewhere
            return Problem(place, f"{key}: {above} is {expression}", f"set {instead}={item.typed.partition('=')[2]}")
        if not item.parsed.is_delete():
            OmegaConf.update(config, key, item.parsed.value(), merge=True, force_add=True)
            return None
        parent, _, last = key.rpartition(".")
        container = OmegaConf.select(config, parent) if parent else config
        with open_dict(config):
            del container[last]
    except Exception as error:  # OmegaConf raises Python's own errors too, as for an index that is no number
        if item.parsed.is_delete():
            return Problem(place, f"{key}: cannot be deleted, it is not there")
        return Problem(place, f"{key}: cannot be set: {str(error).strip().partition(chr(10))[0]}")
    return None


def _reference_above(config: DictConfig, key: str) -> tuple[str, str, str] | None:
    """Where a key leads through `${other}`: setting it would replace the reference instead of what it names."""
    node: Any = config
    parts = key.split(".")
    for at, part in enumerate(parts[:-1]):
        if not isinstance(node, DictConfig) or part not in node.keys():  # noqa: SIM118 - `in node` would resolve it
            return None
        if OmegaConf.is_interpolation(node, part):
            expression = str(OmegaConf.to_container(node, resolve=False)[part])  # type: ignore[index,call-overload]
            named = expression.removeprefix("${").removesuffix("}")
            return ".".join(parts[: at + 1]), expression, ".".join([named, *parts[at + 1 :]])
        node = node[part]
    return None
