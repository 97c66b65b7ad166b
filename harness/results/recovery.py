"""Runs whose supervisor went away: found by their marker, and brought to an end by the next command."""

import contextlib
import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import StoreLost
from harness.results import document, identity, manifest, schema
from harness.results.names import metrics_name
from harness.results.times import now

if TYPE_CHECKING:
    from harness.results.store import Store

_LEFTOVER_S = 3600.0  # a younger one may belong to a run that is just being made


def recover(store: "Store", own: Collection[str]) -> list[dict[str, Any]]:
    """Ends every dead run but our `own`; the manifests of those that had crashed or could not say that they ended.

    A store that cannot be written is left as it is: the command that reads it may still read.
    """
    found = []
    for path in sorted(store.active.iterdir()) if store.active.is_dir() else []:
        with contextlib.suppress(OSError, StoreLost):
            if path.name.startswith("."):
                _remove_leftover(path)
            elif path.name not in own and (ended := _recover_one(store, path)) is not None:
                found.append(ended)
    return found


def _remove_leftover(path: Path) -> None:
    """Removes a lock or temporary file whose run was killed before its marker was there."""
    run_id = path.name.removeprefix(".").removesuffix(".lock")
    if not path.with_name(run_id).exists() and time.time() - path.stat().st_mtime > _LEFTOVER_S:
        path.unlink(missing_ok=True)


def _recover_one(store: "Store", marker: Path) -> dict[str, Any] | None:
    started = _started(marker)
    if started is None or not _is_dead(started, marker):
        return None
    folder = store.runs / marker.name
    if not folder.is_dir():  # killed before the run was acknowledged
        store.disk.remove(marker)
        store.disk.remove(_lock_of(marker))
        return None
    _remove_temporaries(folder)
    known = _read_manifest(folder, started)
    if known["status"] not in manifest.FINAL:
        known = _ended(known, folder)
    return store.settle(known)


def _started(marker: Path) -> dict[str, Any] | None:
    """What the run said of itself when it began; None when its end has just removed the marker."""
    try:
        found = json.loads(marker.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise StoreLost(f"{marker} is no marker of a run", "look at it, and remove it if it is not yours") from None
    return dict(found)


def _is_dead(started: Mapping[str, Any], marker: Path) -> bool:
    """Whether the supervisor is gone: by its identity on this host, by its lock when it ran on another."""
    owner = started.get("identity")
    if started["host"] == identity.host() and owner is not None:
        return not identity.alive(owner)
    from filelock import FileLock, Timeout

    try:
        with FileLock(_lock_of(marker), blocking=False):
            return True
    except (Timeout, NotImplementedError, OSError):  # held, or a file system without locks: nobody can say it is dead
        return False


def _lock_of(marker: Path) -> Path:
    return marker.with_name(f".{marker.name}.lock")


def _read_manifest(folder: Path, started: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest, or what the marker holds when the kill came before the manifest."""
    path = folder / "manifest.json"
    return schema.read(path, "manifest") if path.exists() else schema.upgraded(started, "manifest", str(path))


def _ended(known: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The manifest of a run that finished but could not say so, or that crashed."""
    result = _kept_result(folder, known["run_id"])
    if result is not None:
        return {**manifest.finished(known, result), "recovered_at": now(), "steps": _steps(folder, lost=False)}
    for name in (metrics_name(known["scenario"]), "report.md"):
        (folder / name).unlink(missing_ok=True)  # written just before the result that is not there
    return manifest.crashed(known, manifest.measured_iterations(folder / "samples.bin"), _steps(folder, lost=True))


def _steps(folder: Path, *, lost: bool) -> list[dict[str, Any]]:
    """What the events tell of the steps; where the process was lost, the one that ran has crashed."""
    from harness.journal.lines import read_journal
    from harness.results.steps import steps_of

    try:
        log = steps_of(read_journal(folder / "events.jsonl")[0])
    except OSError:
        return []
    if lost:
        log.lose()
    return log.entries()


def _kept_result(folder: Path, run_id: str) -> dict[str, Any] | None:
    with contextlib.suppress(StoreLost):
        result = schema.read(folder / "result.json", "result")
        if result["run_id"] == run_id and document.is_sealed(result):
            return result
    return None


def _remove_temporaries(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)
