"""A bundle: stored runs with all their files in one JSON document, each file and the whole under a digest."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import RefusedError
from harness.results import identity, manifest, schema
from harness.results.canonical import digest, pretty
from harness.results.history import History
from harness.results.times import now

SCHEMA = "harness.export/1"
_RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{i}" for name in ("com", "lpt") for i in range(1, 10))}
_GZIP = b"\x1f\x8b"
LARGEST_BYTES = 1 << 30  # of a bundle, unpacked: more would not fit into the memory of small machines


def build(history: History, run_ids: Sequence[str]) -> dict[str, Any]:
    """The bundle of these runs, byte for byte as they are stored.

    Raises:
        RefusedError: a run has not ended.
        StoreLost: a manifest cannot be read.
    """
    runs = [_run(history, run_id) for run_id in run_ids]
    document = {"schema": SCHEMA, "created_at": now(), "host": identity.host(), "runs": runs}
    return {**document, "digest": digest(document)}


def _run(history: History, run_id: str) -> dict[str, Any]:
    known = history.manifest(run_id)
    if known["status"] not in manifest.FINAL:
        raise RefusedError(f"{run_id} cannot be exported: it is {known['status']}", "Wait until it has ended")
    folder = history.runs / run_id
    paths = [path for path in sorted(folder.rglob("*")) if not _is_aside(path, folder)]
    files = [_file(path, path.relative_to(folder).as_posix()) for path in paths if path.is_file()]
    return {"run_id": run_id, "files": files}


def _is_aside(path: Path, folder: Path) -> bool:
    """Links could lead out of the run's folder, and names with a dot are leftovers of writers."""
    inside = path.relative_to(folder).parts
    links = [folder.joinpath(*inside[: depth + 1]).is_symlink() for depth in range(len(inside))]
    return any(links) or any(part.startswith(".") for part in inside)


def _file(path: Path, name: str) -> dict[str, Any]:
    from hashlib import sha256

    content = path.read_bytes()
    return {"name": name, "sha256": sha256(content).hexdigest(), **_packed(content)}


def _packed(content: bytes) -> dict[str, Any]:
    """As JSON where that gives the same bytes again, so that a bundle can be read by people; else as text or base64."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return {"encoding": "base64", "content": base64.b64encode(content).decode("ascii")}
    try:
        found = json.loads(text)
        if isinstance(found, dict) and pretty(found) == content:
            return {"encoding": "json", "content": found}
    except ValueError:
        pass
    return {"encoding": "utf-8", "content": text}


def load(content: bytes, place: str) -> Any:
    """The JSON of a file, which may be compressed by gzip.

    Raises:
        RefusedError: it is no JSON, or larger than what is taken.
    """
    if content[:2] == _GZIP:
        content = _unpacked(content, place)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{place} is no JSON: {error}", "Name a bundle, or a file of a known tool") from error


def _unpacked(content: bytes, place: str) -> bytes:
    import zlib

    reader = zlib.decompressobj(wbits=31)
    try:
        found = reader.decompress(content, LARGEST_BYTES)
    except zlib.error as error:
        raise RefusedError(f"{place} cannot be unpacked: {error}", "The file is damaged") from error
    if not reader.eof and not reader.unconsumed_tail:
        raise RefusedError(f"{place} cannot be unpacked: its end is missing", "The file is damaged")
    if reader.unconsumed_tail:
        raise RefusedError(f"{place} unpacks to more than {LARGEST_BYTES >> 20} MiB", "Export fewer runs at once")
    return found


def unpack(document: Any, place: str) -> dict[str, dict[str, bytes]]:
    """The files of each run in a bundle, after everything about it was found right; nothing of it is executed.

    Raises:
        RefusedError: it does not fit its schema or its digests, or a name points out of the run's folder.
        StoreLost: it is of a newer version.
    """
    document = schema.upgraded(document, "export", place)
    problems = schema.validate(document, "export")
    if problems:
        raise RefusedError(f"{place} is no whole bundle: {problems[0]}", "Export the runs again")
    stated = {key: value for key, value in document.items() if key != "digest"}
    if digest(stated) != document["digest"]:
        raise RefusedError(f"{place} does not have the digest that it states: it was changed", "Export the runs again")
    found: dict[str, dict[str, bytes]] = {}
    for run in document["runs"]:
        check_name(run["run_id"], place)
        if "/" in run["run_id"] or run["run_id"] in found:
            raise RefusedError(f"{place}: {run['run_id']!r} is no run id, or is there twice", "Export the runs again")
        found[run["run_id"]] = dict(_unpacked_files(run, place))
    return found


def _unpacked_files(run: Mapping[str, Any], place: str) -> Iterator[tuple[str, bytes]]:
    from hashlib import sha256

    seen = set()
    for file in run["files"]:
        name = file["name"]
        check_name(name, f"{place}: {run['run_id']}")
        if name.lower() in seen:
            raise RefusedError(f"{place}: {run['run_id']}: {name!r} is there twice", "Export the runs again")
        seen.add(name.lower())
        content = _content(file, f"{place}: {run['run_id']}/{name}")
        if sha256(content).hexdigest() != file["sha256"]:
            raise RefusedError(f"{place}: {run['run_id']}/{name} does not have its digest", "Export the runs again")
        yield name, content


def _content(file: Mapping[str, Any], place: str) -> bytes:
    content = file["content"]
    if file["encoding"] == "json":
        return pretty(content)
    if not isinstance(content, str):
        raise RefusedError(f"{place}: its content should be text", "Export the runs again")
    try:
        return content.encode() if file["encoding"] == "utf-8" else base64.b64decode(content, validate=True)
    except ValueError as error:
        raise RefusedError(f"{place}: its content cannot be read: {error}", "Export the runs again") from error


def check_name(name: str, place: str) -> None:
    """Refuses every name that could mean a file outside the run's folder, on any system.

    Raises:
        RefusedError: it is absolute, climbs, hides, is reserved, or has characters that a path should not have.
    """
    parts = name.split("/")
    wrong = not name or "\\" in name or ":" in name or any(ord(char) < 32 or ord(char) == 127 for char in name)
    wrong = wrong or any(part in ("", ".", "..") or part.startswith(".") or part[-1] in ". " for part in parts)
    wrong = wrong or any(part.split(".")[0].lower() in _RESERVED or len(part) > 200 for part in parts)
    if wrong:
        raise RefusedError(
            f"{place}: the name {name!r} could point outside the run's folder", "Nothing was imported; do not trust it"
        )
