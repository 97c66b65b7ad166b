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
    own = knobs_of(option.path, option.shown, (option.group,))
    result.parts = _parts(option, found)
    layers = [own]
    if option.group == "scenario":
        layers.insert(0, knobs_of(data("conf") / "config.yaml", "conf/config.yaml"))
        chosen = [(group, found[group][name]) for group, name in result.parts.items() if name in found.get(group, {})]
        layers[1:1] = [knobs_of(one.path, one.shown, (group,)) for group, one in chosen if group != "threshold"]
    merged = _merge(layers)
    targets = {knob.keys[:-1]: str(knob.value) for knob in merged if knob.keys[-1] == "_target_"}
    result.target = targets.get((option.group,))
    result.about_target = str(_schema_of(result.target).get("description", ""))
    result.knobs = [(knob, _takes(knob.keys, targets)) for knob in merged if not knob.keys[-1].startswith("_")]
    result.knobs += _unwritten(merged, targets)
    result.knobs.sort(key=lambda pair: pair[0].keys[0] != option.group)
    result.metrics = _metrics(result, merged, searched, found)
    return result


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


def _parts(option: Option, found: Groups) -> dict[str, str]:
    """The options of other groups that hold with this one, unless the command line says otherwise."""
    import yaml

    loaded = yaml.safe_load(option.path.read_text(encoding="utf-8")) or {}
    entries = loaded.get("defaults", []) if isinstance(loaded, dict) else []
    listed = {
        str(key).split()[-1].strip("/"): str(name)
        for entry in entries
        if isinstance(entry, dict)
        for key, name in entry.items()
    }
    if option.group != "scenario":
        return listed
    parts = defaults() | listed
    parts["threshold"] = listed.get("threshold", option.name)
    return {group: name for group, name in parts.items() if name in found.get(group, {})}


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
