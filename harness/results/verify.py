"""Whether a stored run still is what was stored: schemas of all its documents, and every digest."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import StoreLost
from harness.results import document, manifest, schema
from harness.results.canonical import digest, file_digest
from harness.results.names import metrics_name

ReadEvents = Callable[[Path], tuple[list[dict[str, Any]], int]]
_MOST = 20  # problems of one document that are listed


def problems_of(folder: Path, read_events: ReadEvents) -> list[str]:
    """Everything that does not fit in a run's folder; empty when all does.

    A run without a result (crashed, running, skipped) is held against its manifest only. `read_events` gives the
    records of a journal and the number of its torn lines, which only a crashed or running run may have.
    """
    return [f"{name}: {text}" for name, text in _problems(folder, read_events)]


def _problems(folder: Path, read_events: ReadEvents) -> Iterator[tuple[str, str]]:
    try:
        known = schema.read(folder / "manifest.json", "manifest")
    except StoreLost as error:
        yield "manifest.json", error.message
        return
    invalid = list(_invalid(known, "manifest", "manifest.json"))
    yield from invalid
    if invalid:
        return
    if known["run_id"] != folder.name:
        yield "manifest.json", f"run_id is {known['run_id']}, and the folder is {folder.name}"
    yield from _missing(known, folder)
    yield from _event_problems(folder / "events.jsonl", read_events, _is_whole(known["status"]))
    if (folder / "result.json").exists():
        yield from _result_problems(folder, known)
    elif known["status"] == "completed":
        yield "result.json", "is missing"


def _is_whole(status: str) -> bool:
    return status in manifest.FINAL and status != "crashed"


def _missing(known: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    for name in known["artifacts"]:
        if name != "result.json" and not (folder / name).exists():
            yield name, "is listed in the manifest and missing"


def _invalid(found: dict[str, Any], kind: str, name: str) -> Iterator[tuple[str, str]]:
    for problem in schema.validate(found, kind)[:_MOST]:
        yield name, str(problem)


def _result_problems(folder: Path, known: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        result = schema.read(folder / "result.json", "result")
    except StoreLost as error:
        yield "result.json", error.message
        return
    invalid = list(_invalid(result, "result", "result.json"))
    yield from invalid
    if invalid:
        return
    if not document.is_sealed(result):
        yield "result.json", "its content does not have the digest that it states"
    if digest(result["config"]) != result["digests"]["config"]:
        yield "result.json", "its configuration does not have the digest that it states"
    for key, stated in (("run_id", known["run_id"]), ("status", known["status"]), ("exit_code", known["exit_code"])):
        if result[key] != stated:
            yield "result.json", f"{key} is {result[key]!r}, and the manifest says {stated!r}"
    yield from _sample_problems(folder / "samples.bin", result["digests"]["samples"])
    yield from _metrics_problems(folder, result)


def _sample_problems(path: Path, stated: str | None) -> Iterator[tuple[str, str]]:
    if stated is None:
        return
    if not path.exists():
        yield path.name, "is missing"
    elif file_digest(path) != stated:
        yield path.name, "its bytes do not have the digest that the result states"


def _metrics_problems(folder: Path, result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    name = metrics_name(result["scenario"])
    try:
        short = schema.read(folder / name, "scenario_metrics")
    except StoreLost as error:
        yield name, error.message
        return
    yield from _invalid(short, "scenario_metrics", name)
    if short != document.scenario_metrics(result):
        yield name, "differs from the result"


def _event_problems(path: Path, read_events: ReadEvents, whole: bool) -> Iterator[tuple[str, str]]:
    if not path.exists():
        return
    events, torn = read_events(path)
    if torn and whole:
        yield path.name, f"{torn} torn line{'s' if torn > 1 else ''}"
    wrong = 0
    for event in events:
        for problem in schema.validate(event, "event"):
            wrong += 1
            if wrong <= _MOST:
                yield path.name, f"seq {event.get('seq')}: {problem}"
    numbers = [event.get("seq") for event in events]
    if not wrong and not torn and numbers != list(range(len(numbers))):
        yield path.name, "its events are not numbered without a gap"
