"""What can be chosen: the groups and options of the shipped folder and of the user's folders, read as plain text.

Neither YAML nor Hydra is imported here, because `list` must answer within a few times the start of a bare interpreter.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Problem
from harness.paths import data

ENVIRONMENT = "HARNESS_CONFIG_DIR"
NOT_GROUPS = frozenset({"metrics", "recommend"})  # these lie in conf/ too, and are read by path instead of being chosen
_DEFAULT = re.compile(r"^  - (?:optional )?(\w+): ([\w${}]+)", re.MULTILINE)
_COMMAND = re.compile(r":?\s+python -m harness.*")  # a listing's heading says it already
NOTHING = "none"  # `scenario: none` is Hydra's way to say that no scenario was chosen


@dataclass(frozen=True)
class Folder:
    """A folder of options; `shown` is how messages name it."""

    path: Path
    shown: str
    shipped: bool


@dataclass(frozen=True)
class Option:
    """One YAML file of a group, and the files of the same name that it hides."""

    group: str
    name: str
    path: Path
    shown: str
    shipped: bool
    shadowed: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """What the file says about itself in its first line of comment, empty where it says nothing."""
        return _COMMAND.sub("", first_comment(self.path))


Groups = dict[str, dict[str, Option]]


def folders(config_dirs: Sequence[Path] = ()) -> list[Folder]:
    """The folders that are searched, in order: the shipped one, those given, those of `HARNESS_CONFIG_DIR`."""
    found = [Folder(data("conf"), "conf", True)]
    named = [str(path) for path in config_dirs]
    named += [part for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part]
    for name in named:
        path = Path(name).absolute()
        if all(path != folder.path for folder in found):
            found.append(Folder(path, Path(name).as_posix(), False))
    return found


def missing(searched: Sequence[Folder]) -> list[Problem]:
    """A problem for every folder that is not there."""
    return [
        Problem(
            f"folder {folder.shown}",
            "no such folder",
            f"name an existing one with --config-dir or in the environment variable {ENVIRONMENT}",
        )
        for folder in searched
        if not folder.path.is_dir()
    ]


def groups(searched: Sequence[Folder]) -> Groups:
    """Every group with its options; the first folder that has a name wins, as it does in Hydra."""
    found: Groups = {}
    for folder in searched:
        for path in sorted(folder.path.rglob("*.yaml")):
            relative = path.relative_to(folder.path)
            if len(relative.parts) < 2 or relative.parts[0] in NOT_GROUPS:
                continue
            options = found.setdefault(relative.parent.as_posix(), {})
            shown = f"{folder.shown}/{relative.as_posix()}"
            first = options.get(relative.stem)
            if first is None:
                options[relative.stem] = Option(relative.parent.as_posix(), relative.stem, path, shown, folder.shipped)
            else:
                options[relative.stem] = Option(**(vars(first) | {"shadowed": (*first.shadowed, shown)}))
    return found


def defaults() -> dict[str, str]:
    """The option of every group that holds where none is named, as config.yaml has it."""
    text = (data("conf") / "config.yaml").read_text(encoding="utf-8")
    return {group: option for group, option in _DEFAULT.findall(text) if option not in ("null", NOTHING)}


def first_comment(path: Path) -> str:
    """The first comment line of a YAML file that is not its package header; stops at the first line of content."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                text = line.strip()
                if text and not text.startswith("#"):
                    return ""
                words = text.lstrip("# ").strip()
                if words and not words.startswith("@"):
                    return words
    except OSError:
        pass
    return ""
