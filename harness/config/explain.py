"""What is known about one option without running or importing it: knobs, ranges, comments, parts, metrics."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config.composed import Keys
from harness.config.knobs import Knob, knobs_of, schema_at
from harness.config.options import Folder, Groups, Option, defaults
from harness.config.schemawords import words
from harness.config.sources import names_in_code
from harness.config.targets import shipped
from harness.measure.catalogue import Metric, load_catalogue
from harness.paths import data


@dataclass
class Description:
    """Everything that is known about one option without running or importing it."""

    option: Option
    target: str | None = None
    about_target: str = ""
    knobs: list[tuple[Knob, str]] = field(default_factory=list)  # with what each takes, in words
    parts: dict[str, str] = field(default_factory=dict)  # other groups, with the option that this one chooses
    metrics: list[Metric] = field(default_factory=list)


def describe(option: Option, found: Groups, searched: Sequence[Folder]) -> Description:
    """What the YAML files, the schemas and the metric catalogue say about an option."""
    result = Description(option)
    reading = _Reading(found)
    reading.visit(option)
    layers = [knobs_of(one.path, one.shown, (one.group,)) for one in reading.files]
    result.parts = reading.overrides
    if option.group == "scenario":
        result.parts = reading.all_parts(option.name)
        chosen = [found[group][name] for group, name in result.parts.items() if group != "threshold"]
        layers = [
            knobs_of(data("conf") / "config.yaml", "conf/config.yaml"),
            *(knobs_of(one.path, one.shown, (one.group,)) for one in chosen),
            *layers,
        ]
    merged = _merge(layers)
    targets = {knob.keys[:-1]: str(knob.value) for knob in merged if knob.keys[-1] == "_target_"}
    result.target = targets.get((option.group,))
    result.about_target = str(_schema_of(result.target).get("description", ""))
    result.knobs = [(knob, _takes(knob.keys, targets)) for knob in merged if not knob.keys[-1].startswith("_")]
    result.knobs += _unwritten(merged, targets)
    result.knobs.sort(key=lambda pair: pair[0].keys[0] != option.group)
    result.metrics = _metrics(result, merged, searched, found)
    return result


@dataclass
class _Reading:
    """The defaults lists of an option and of those it names, read without Hydra."""

    found: Groups
    files: list[Option] = field(default_factory=list)
    overrides: dict[str, str] = field(default_factory=dict)

    def visit(self, option: Option) -> None:
        """Notes the options that this one chooses, nearest first, and the files it builds on, farthest first."""
        if option in self.files:
            return
        entries = _defaults_list(option)
        for key, name in (pair for entry in entries if isinstance(entry, dict) for pair in entry.items()):
            self.overrides.setdefault(str(key).split()[-1].strip("/"), str(name))
        for entry in entries:
            group, _, name = str(entry).rpartition("/")
            base = self.found.get(group.strip("/") or option.group, {}).get(name)
            if isinstance(entry, str) and base is not None:
                self.visit(base)
        self.files.append(option)

    def all_parts(self, scenario: str) -> dict[str, str]:
        """The option of every group, unless the command line says otherwise."""
        parts = {**defaults(), "threshold": scenario, **self.overrides}
        for group, name in list(parts.items()):
            part = self.found.get(group, {}).get(name)
            if part is not None:
                below = _Reading(self.found)
                below.visit(part)
                parts = below.overrides | parts if group in self.overrides else parts | below.overrides
        return {group: name for group, name in parts.items() if name in self.found.get(group, {})}


def _defaults_list(option: Option) -> list[Any]:
    import yaml

    loaded = yaml.safe_load(option.path.read_text(encoding="utf-8"))
    listed = loaded.get("defaults", []) if isinstance(loaded, dict) else []
    return listed if isinstance(listed, list) else []


def _merge(layers: Sequence[Sequence[Knob]]) -> list[Knob]:
    """One knob a key: the later file's value, with the nearest comment that says what it is."""
    merged: dict[Keys, Knob] = {}
    for layer in layers:
        for knob in layer:
            merged = {keys: one for keys, one in merged.items() if keys != knob.keys[: len(keys)] or keys == knob.keys}
            before = merged.get(knob.keys)
            comment = knob.comment or (before.comment if before else "")
            merged[knob.keys] = Knob(knob.keys, knob.value, comment, knob.shown, knob.line)
    return list(merged.values())


def _schema_of(target: str | None) -> Mapping[str, Any]:
    return shipped().get(target or "", {})


def _takes(keys: Keys, targets: Mapping[Keys, str]) -> str:
    """What a key accepts, by the signature of the nearest target above it, else by the schema of the configuration."""
    for length in range(len(keys) - 1, 0, -1):
        if keys[:length] in targets:
            schema = _schema_of(targets[keys[:length]])
            return words(schema_at(schema, keys[length:], schema))
    root = json.loads((data("schemas") / "config.schema.json").read_text(encoding="utf-8"))
    return words(schema_at(root, keys, root))


def _unwritten(merged: Sequence[Knob], targets: Mapping[Keys, str]) -> Iterator[tuple[Knob, str]]:
    """Parameters with a default of their own, which the YAML does not mention."""
    written = {knob.keys for knob in merged}
    for keys, target in targets.items():
        schema = _schema_of(target)
        for name, part in schema.get("properties", {}).items():
            if all(one[: len(keys) + 1] != (*keys, name) for one in written) and name not in schema.get("required", []):
                yield Knob((*keys, name), None, "optional; not set in the YAML", target, 0), words(part)


def _metrics(result: Description, merged: Sequence[Knob], searched: Sequence[Folder], found: Groups) -> list[Metric]:
    """The metrics that the runner's code, its limits or its YAML name, as the catalogue declares them."""
    if result.option.group != "scenario":
        return []
    own: dict[str, dict[str, Any]] = {}
    for knob in merged:
        if knob.keys[0] == "metrics" and len(knob.keys) >= 3:
            own.setdefault(".".join(knob.keys[1:-1]), {})[knob.keys[-1]] = knob.value
    catalogue = load_catalogue({name: fields for name, fields in own.items() if "unit" in fields})
    text = names_in_code(result.target or "", [Path.cwd(), *(folder.path.parent for folder in searched)])
    threshold = found.get("threshold", {}).get(result.parts.get("threshold", ""))
    text += threshold.path.read_text(encoding="utf-8") if threshold else ""
    always = {*own, "iteration.duration_ms"}
    return [metric for name, metric in catalogue.items() if name in always or _mentions(text, name)]


def _mentions(text: str, name: str) -> bool:
    return any(f"{before}{name}{after}" in text for before, after in (('"', '"'), ("'", "'"), (" ", ",")))
