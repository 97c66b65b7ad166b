"""Turns what Hydra and YAML raise while files are composed into problems that name file, line and column."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from harness.config import hints
from harness.config.options import NOTHING, Folder, Groups
from harness.errors import Problem

_NOT_FOUND = re.compile(r"Could not find '([^']+)'")
_IN = re.compile(r"In '([^']+)'")


def shown_path(path: Path, searched: Sequence[Folder]) -> str:
    """How messages name a file: its folder as the person named it, then the path below."""
    for folder in searched:
        for base in (folder.path, folder.path.resolve()):
            if path.is_relative_to(base):
                return f"{folder.shown}/{path.relative_to(base).as_posix()}"
    return str(path)


def of_reading(path: Path, searched: Sequence[Folder]) -> Problem | None:
    """Why a file cannot be read as YAML; None where it can."""
    place = shown_path(path, searched)
    try:
        yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        context = f" ({error.context})" if error.context else ""
        return Problem(_at(place, error), f"cannot be read as YAML: {error.problem}{context}", _yaml_hint(error))
    except UnicodeDecodeError as error:
        return Problem(place, f"is not UTF-8 text: {error.reason} at byte {error.start}", "save it as UTF-8")
    except (OSError, yaml.YAMLError) as error:
        return Problem(place, f"cannot be read: {' '.join(str(error).split())}")
    return None


def _at(place: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    return place if mark is None else f"{place}:{mark.line + 1}:{mark.column + 1}"


def of_composition(error: Exception, files: Sequence[Path], groups: Groups, searched: Sequence[Folder]) -> Problem:
    """The problem behind an exception of Hydra; `files` are those of the options that could not be composed."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark and Path(error.problem_mark.name).is_file():
        unreadable = of_reading(Path(error.problem_mark.name), searched)
        if unreadable is not None:
            return unreadable
    place = shown_path(files[0], searched) if files else "conf/config.yaml"
    if isinstance(error, RecursionError):
        return Problem(f"{place}:{_line_of(files, 'defaults')}", "its defaults list includes itself, by way of others")
    text = str(error).strip()
    if missing := _NOT_FOUND.search(text):
        return _of_missing(missing[1], text, place, files, groups)
    if text.startswith(("Too many components", "Expected header format")):
        return Problem(f"{place}:1", "the package header must be `# @package _global_`")
    cause = error.__cause__
    message = " ".join(f"{text} {cause if cause is not None else ''}".split())
    return Problem(place, f"cannot be composed: {message or type(error).__name__}")


def _of_missing(name: str, text: str, place: str, files: Sequence[Path], groups: Groups) -> Problem:
    """A defaults list that names an option which does not exist."""
    group, _, option = name.rpartition("/")
    inside = _IN.search(text)
    line = _line_of(files, option)
    known = set(groups[group]) - {NOTHING} if group in groups else set(groups)
    hint = hints.choose(option if group in groups else group, known)
    where = f"{place}:{line}" if files else f"conf/{inside[1] if inside else 'config'}.yaml"
    kind = f"unknown {group} {option!r}" if group in groups else f"unknown group {group!r}"
    return Problem(where, f"defaults: {kind}", hint)


def _yaml_hint(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem)
    if "'\\t'" in problem:
        return "indent with spaces, not with tabs"
    if "mapping values are not allowed" in problem:
        return "quote a text that holds a colon"
    return ""


def _line_of(files: Sequence[Path], word: str) -> int:
    """The first line, outside comments, that holds the word; 1 where none does."""
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if word in line.partition("#")[0]:
                return number
    return 1
