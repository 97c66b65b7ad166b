"""Whether what is stored still is what was stored: schemas of all documents, and every digest."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import StoreLost
from harness.results import document, manifest, records, schema
from harness.results.canonical import digest, file_digest
from harness.results.names import metrics_name
from harness.results.records import COMPARISON, SUITE, Named

ReadEvents = Callable[[Path], tuple[list[dict[str, Any]], int]]
_MOST = 20  # problems of one document that are listed


def problems_of(folder: Path, read_events: ReadEvents) -> list[str]:
    """Everything that does not fit in a run's folder; empty when all does.

    A run without a result (crashed, running, skipped) is held against its manifest only. `read_events` gives the
    records of a journal and the number of its torn lines, which only a crashed or running run may have.
    """
    return [f"{name}: {text}" for name, text in _problems(folder, read_events)]


def record_problems(outputs: Path, named: Named) -> list[str]:
    """Everything that does not fit in the folder of a suite or comparison; empty when all does."""
    return [] if records.is_open(outputs, named) else [f"{name}: {text}" for name, text in _of_record(outputs, named)]


def record_notes(outputs: Path, named: Named) -> list[str]:
    """What a reader should know of a suite or comparison that holds: what of it is not there, and may be missing."""
    if records.is_open(outputs, named):
        return ["it has no report yet: it still runs, or was cut short"]
    if named.kind is not SUITE:
        return []
    begun = [job["run_id"] for job in records.read(outputs, named)["jobs"] if job["run_id"] is not None]
    return [
        f"{run_id}, one of its runs, is no longer stored"
        for run_id in begun
        if not (outputs / "runs" / run_id).is_dir()
    ]


def _of_record(outputs: Path, named: Named) -> Iterator[tuple[str, str]]:
    kind, record_id = named
    folder = records.folder_of(outputs, kind, record_id)
    try:
        known = schema.read(folder / kind.file, kind.schema)
    except StoreLost as error:
        yield kind.file, error.message
        return
    invalid = list(_invalid(known, kind.schema, kind.file))
    yield from invalid
    if invalid:
        return
    if not records.is_sealed(known):
        yield kind.file, "its content does not have the digest that it states"
    if known[kind.key] != record_id:
        yield kind.file, f"{kind.key} is {known[kind.key]}, and the folder is {record_id}"
    if kind is COMPARISON and not (folder / "report.md").exists():
        yield "report.md", "is missing"


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
    yield from _request_problems(folder / "requests.jsonl", read_events, _is_whole(known["status"]))
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


def _request_problems(path: Path, read_lines: ReadEvents, whole: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with the requests that a run kept; those of before they had a schema are left out."""
    if not path.exists():
        return
    lines, torn = read_lines(path)
    yield from _torn(path.name, torn, whole)
    problems = (
        (path.name, f"line {number}: {problem}")
        for number, line in enumerate(lines, 1)
        if "schema" in line
        for problem in schema.validate(line, "request")
    )
    yield from itertools.islice(problems, _MOST)


def _event_problems(path: Path, read_events: ReadEvents, whole: bool) -> Iterator[tuple[str, str]]:
    if not path.exists():
        return
    events, torn = read_events(path)
    yield from _torn(path.name, torn, whole)
    wrong = 0
    for event in events:
        for problem in schema.validate(event, "event"):
            wrong += 1
            if wrong <= _MOST:
                yield path.name, f"seq {event.get('seq')}: {problem}"
    numbers = [event.get("seq") for event in events]
    if not wrong and not torn and numbers != list(range(len(numbers))):
        yield path.name, "its events are not numbered without a gap"


def _torn(name: str, torn: int, whole: bool) -> Iterator[tuple[str, str]]:
    if torn and whole:
        yield name, f"{torn} torn line{'s' if torn > 1 else ''}"
