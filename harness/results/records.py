"""What is stored, a folder each: runs, suites and comparisons; which there are, and the one that a person means."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import NotFound, StoreLost
from harness.results import schema
from harness.results.canonical import digest
from harness.results.history import History


class Kind(NamedTuple):
    """What people call it, the folder in which its folders lie, and its document with the key that holds its id."""

    said: str
    room: str
    file: str
    schema: str
    key: str


class Named(NamedTuple):
    """One stored thing."""

    kind: Kind
    id: str


RUN = Kind("run", "runs", "manifest.json", "manifest", "run_id")
SUITE = Kind("suite", "suites", "suite.json", "suite", "suite_id")
COMPARISON = Kind("comparison", "ab", "ab.json", "ab", "ab_id")
RECORDS = (SUITE, COMPARISON)
_LISTS = "`python -m harness results` lists the runs; with --suites or --ab the suites or the comparisons"


def folder_of(outputs: Path, kind: Kind, record_id: str) -> Path:
    """Where all of it lies."""
    return outputs / kind.room / record_id


def ids(outputs: Path, kind: Kind) -> list[str]:
    """The ids of all suites or comparisons, oldest first; an empty folder is what a kill left that came very early."""
    return sorted({path.parent.name for path in (outputs / kind.room).glob("*/*")})


def like(outputs: Path, kind: Kind, text: str) -> list[str]:
    """The ids that begin with the text, or else end with it after a dash, as for runs."""
    every = ids(outputs, kind) if text else []
    return [each for each in every if each.startswith(text)] or [each for each in every if each.endswith(f"-{text}")]


def find(history: History, text: str, among: Sequence[Kind] = RECORDS) -> Named:
    """What a person named: a run, or one of these kinds, by its id, its beginning, or the six digits at its end.

    `last` is the last run.

    Raises:
        NotFound: there is none, or more than one.
    """
    if text == "last":
        return Named(RUN, history.find(text))
    found = [Named(RUN, run_id) for run_id in history.like(text)]
    found += [Named(kind, each) for kind in among for each in like(history.outputs, kind, text)]
    found = [each for each in found if each.id == text] or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"no {_either([RUN, *among])} {text!r} in {history.outputs}", _LISTS)
    meant = _either(list(dict.fromkeys(each.kind for each in found)))
    raise NotFound(f"more than one {meant} is meant by {text!r}", "one of: " + ", ".join(each.id for each in found))


def read(outputs: Path, named: Named) -> dict[str, Any]:
    """The document of a suite or comparison, which still is what was stored.

    Raises:
        StoreLost: it cannot be read, or was changed.
    """
    path = folder_of(outputs, *named) / named.kind.file
    hint = f"`python -m harness verify {named.id}` says what is wrong"
    try:
        document = schema.read(path, named.kind.schema)
    except StoreLost as error:
        raise StoreLost(error.message, error.hint or hint) from error
    if not is_sealed(document):
        raise StoreLost(f"{path} is not what was stored: its content does not have the digest that it states", hint)
    return document


def is_sealed(document: Mapping[str, Any]) -> bool:
    """Whether a document has the digest over everything else in it that it states."""
    content = {key: value for key, value in document.items() if key != "digest"}
    try:
        return bool(digest(content) == document.get("digest"))
    except ValueError:  # a number that no document of ours can hold
        return False


def is_open(outputs: Path, named: Named) -> bool:
    """Whether a comparison has nothing to tell yet: it still runs, or was cut short. A suite has its record at once."""
    folder = folder_of(outputs, *named)
    # The report is written before the document, so one without the other is a loss.
    return named.kind is COMPARISON and not any((folder / name).exists() for name in (named.kind.file, "report.md"))


def _either(kinds: Sequence[Kind]) -> str:
    *others, last = [kind.said for kind in kinds]
    return f"{', '.join(others)} or {last}" if others else last
