"""`describe`: every knob of a scenario or another option, with its default, what it takes, and where it is written."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.config.explain import Description, describe
from harness.config.hints import choose
from harness.config.knobs import Knob, spelled
from harness.config.options import NOTHING, Groups, Option, folders, groups
from harness.errors import NotFound
from harness.report.columns import columns


def main(argv: Sequence[str]) -> int:
    """Prints the description of one option.

    Raises:
        NotFound: there is no such group or option.
    """
    options = _parse(argv)
    searched = [folder for folder in folders(options.config_dir) if folder.path.is_dir()]
    found = groups(searched)
    option = _chosen(options.what, found)
    description = describe(option, found, searched)
    if options.json:
        print(json.dumps(_document(description), indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(_sections(description)))
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness describe",
        description="Describes one option: its knobs with defaults, ranges and comments, and the metrics it yields.",
    )
    parser.add_argument("what", metavar="GROUP=NAME", help="for example scenario=rollback; a bare name is a scenario")
    parser.add_argument(
        "--config-dir", action="append", default=[], type=Path, metavar="DIR", help="a folder of your own; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    return parser.parse_args(argv)


def _chosen(what: str, found: Groups) -> Option:
    group, equals, name = what.partition("=")
    if not equals:
        group, name = "scenario", what
    if group not in found:
        raise NotFound(f"there is no group {group!r}", choose(group, found))
    known = {option for option in found[group] if option != NOTHING}
    if name not in known:
        raise NotFound(f"unknown {group} {name!r}", choose(name, known))
    return found[group][name]


def _sections(description: Description) -> list[str]:
    option = description.option
    head = [f"{option.group}={option.name}   {option.path}", option.description]
    if description.target:
        head.append(
            f"target: {description.target}" + (f" - {description.about_target}" if description.about_target else "")
        )
    sections = ["\n".join(line for line in head if line)]
    if description.knobs:
        lines = [line for knob, takes in description.knobs for line in _lines(knob, takes)]
        sections.append("\n".join(["knobs: KEY=VALUE on the command line, or in a file of your own", *lines]))
    if description.parts:
        chosen = [f"  {group}={name}" for group, name in description.parts.items()]
        sections.append("\n".join(["chosen with it (another one: GROUP=NAME)", *chosen]))
    if description.metrics:
        cells = [[one.name, str(one.unit), str(one.better), str(one.meaning)] for one in description.metrics]
        table = columns(("metric", "unit", "better", "meaning"), cells)
        sections.append(f"metrics that its code, limits or YAML name\n{table}")
    return sections


def _lines(knob: Knob, takes: str) -> list[str]:
    value = spelled(knob.value) if knob.line else "(unset)"
    place = knob.place if knob.line else knob.shown
    return [f"  {knob.dotted}={value}  ({takes})", f"      {knob.comment or 'no comment'}  [{place}]"]


def _document(description: Description) -> dict[str, Any]:
    option = description.option
    return {
        "schema": "harness.describe/1",
        "group": option.group,
        "name": option.name,
        "description": option.description,
        "file": str(option.path),
        "target": description.target,
        "knobs": [
            {"key": knob.dotted, "default": knob.value, "takes": takes, "about": knob.comment, "place": knob.place}
            for knob, takes in description.knobs
        ],
        "chosen": description.parts,
        "metrics": [asdict(metric) for metric in description.metrics],
    }
