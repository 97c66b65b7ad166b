"""`list`: what can be run, and the options of every group; read as plain text, so that the answer comes at once."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.config.options import NOTHING, Folder, Groups, Option, defaults, folders, groups, missing

RUNNABLE = {"scenario": "scenarios", "suite": "suites", "experiment": "experiments"}


def main(argv: Sequence[str]) -> int:
    """Prints what there is; 2 where a group or a folder does not exist."""
    options = _parse(argv)
    searched = folders(options.config_dir)
    problems = [str(problem) for problem in missing(searched)]
    found = groups([folder for folder in searched if folder.path.is_dir()])
    unknown = [group for group in options.group if group not in found]
    if unknown:
        from harness.config.hints import choose

        problems += [f"unknown group {group!r}; {choose(group, found)}" for group in unknown]
    wanted = {group: found[group] for group in options.group or sorted(found) if group in found}
    if options.json:
        print(json.dumps(_document(wanted, searched), indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(_sections(wanted, searched, in_full=bool(options.group))))
    for line in [*problems, *_shadowed(wanted), *_misnamed(searched)]:
        print(line, file=sys.stderr)
    return 2 if problems else 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness list",
        description="Lists the scenarios, suites and experiments that can be run, and the options of every group.",
        epilog="More on one of them: python -m harness describe scenario=NAME",
    )
    parser.add_argument("group", nargs="*", help="only this group, its options with what they are")
    parser.add_argument(
        "--config-dir", action="append", default=[], type=Path, metavar="DIR", help="a folder of your own; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    return parser.parse_args(argv)


def _offered(options: dict[str, Option]) -> list[Option]:
    return [option for name, option in sorted(options.items()) if name != NOTHING]


def _sections(wanted: Groups, searched: Sequence[Folder], *, in_full: bool) -> list[str]:
    first = [*(group for group in RUNNABLE if group in wanted), *(group for group in wanted if group not in RUNNABLE)]
    full = [group for group in first if in_full or group in RUNNABLE]
    sections = [_described(group, wanted[group], RUNNABLE.get(group, group)) for group in full]
    others = {group: options for group, options in wanted.items() if group not in RUNNABLE}
    if others and not in_full:
        sections.append(_brief(others))
    own = [folder.shown for folder in searched if not folder.shipped]
    if own:
        sections.append(f"folders of yours: {', '.join(own)}")
    return sections


def _described(group: str, options: dict[str, Option], heading: str) -> str:
    offered = _offered(options)
    width = max((len(option.name) for option in offered), default=0)
    chosen = defaults().get(group)
    lines = [
        f"  {option.name:<{width}}  {option.description}"
        + (" (default)" if option.name == chosen else "")
        + ("" if option.shipped else f" [{option.shown}]")
        for option in offered
    ]
    return "\n".join([f"{heading}: {group}=NAME", *(lines or ["  none"])])


def _brief(others: Groups) -> str:
    width = max(map(len, others))
    chosen = defaults()
    lines = []
    for group, options in others.items():
        names = [f"{one.name}*" if chosen.get(group) == one.name else one.name for one in _offered(options)]
        lines.append(f"  {group:<{width}}  {', '.join(names)}")
    return "\n".join(["options: GROUP=NAME, * is the default", *lines])


def _shadowed(wanted: Groups) -> list[str]:
    return [
        f"{hidden}: is never read, {option.shown} has the same name and comes first; rename it"
        for options in wanted.values()
        for option in options.values()
        for hidden in option.shadowed
    ]


def _misnamed(searched: Sequence[Folder]) -> list[str]:
    return [
        f"{folder.shown}/{path.relative_to(folder.path).as_posix()}: is never read; name it {path.stem}.yaml"
        for folder in searched
        for path in sorted(folder.path.rglob("*.yml"))
    ]


def _document(wanted: Groups, searched: Sequence[Folder]) -> dict[str, Any]:
    chosen = defaults()
    return {
        "schema": "harness.list/1",
        "folders": [{"path": str(folder.path), "shipped": folder.shipped} for folder in searched],
        "groups": {
            group: [
                {
                    "name": option.name,
                    "description": option.description,
                    "file": str(option.path),
                    "shipped": option.shipped,
                    "default": chosen.get(group) == option.name,
                    "shadowed": list(option.shadowed),
                }
                for option in _offered(options)
            ]
            for group, options in wanted.items()
        },
    }
