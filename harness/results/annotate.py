"""What people add to a run after it has ended: tags, a pin that keeps it, notes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import RefusedError, StorageRefused
from harness.results import manifest, schema
from harness.results.canonical import pretty
from harness.results.disk import Disk
from harness.results.index import Index
from harness.results.times import now

_LOCK_WAIT_S = 10.0
Change = Callable[[dict[str, Any]], dict[str, Any]]


def tagged(add: Sequence[str], remove: Sequence[str]) -> Change:
    """Adds and removes tags; the order of those that stay is kept.

    Raises:
        RefusedError: a tag is empty or holds white space or a comma, which would make it two.
    """
    for tag in add:
        if not tag or tag.split() != [tag] or "," in tag:
            raise RefusedError(f"a tag should be one word without commas, found {tag!r}", "Use - or _ between words")

    def change(known: dict[str, Any]) -> dict[str, Any]:
        kept = [tag for tag in (*known["tags"], *add) if tag not in remove]
        return {**known, "tags": list(dict.fromkeys(kept))}

    return change


def pinned(wanted: bool) -> Change:
    """Keeps the run from being pruned, or no longer."""
    return lambda known: {**known, "pinned": wanted}


def noted(text: str, user: str | None) -> Change:
    """Adds a note with its time and author.

    Raises:
        RefusedError: the note is empty.
    """
    if not text.strip():
        raise RefusedError("a note should not be empty", "Write what a reader should know of the run")
    return lambda known: {**known, "notes": [*known["notes"], {"time": now(), "user": user, "text": text.strip()}]}


def annotate(outputs: Path, run_ids: Sequence[str], change: Change) -> list[dict[str, Any]]:
    """Changes the manifests of these runs, and gives them as they are now.

    Raises:
        RefusedError: a run has not ended: its own process would write over what was added.
        StorageRefused: the store cannot be written.
        StoreLost: a manifest cannot be read.
    """
    disk, index = Disk(), Index(outputs)
    try:
        with changing(outputs):
            before = [_ended(outputs / "runs" / run_id) for run_id in run_ids]
            return [_write(outputs / "runs" / known["run_id"], change(known), disk, index) for known in before]
    except OSError as error:
        raise StorageRefused(
            f"the store {outputs} cannot be written: {error.strerror or error}", "Make it writable"
        ) from error
    finally:
        index.close()


@contextmanager
def changing(outputs: Path) -> Iterator[None]:
    """Keeps other commands from changing or removing stored runs meanwhile.

    Raises:
        StorageRefused: another command has held the lock for long.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(outputs / ".annotate.lock", timeout=_LOCK_WAIT_S):
            yield
    except Timeout as error:
        raise StorageRefused(
            f"another command has been changing runs of {outputs} for more than {_LOCK_WAIT_S:g} s", "Try again"
        ) from error


def _ended(folder: Path) -> dict[str, Any]:
    known = schema.read(folder / "manifest.json", "manifest")
    if known["status"] not in manifest.FINAL:
        raise RefusedError(
            f"{folder.name} is {known['status']} and cannot be changed yet",
            "Wait until it has ended; tags=[…] gives a run its tags when it is started",
        )
    return known


def _write(folder: Path, known: Mapping[str, Any], disk: Disk, index: Index) -> dict[str, Any]:
    disk.write(folder / "manifest.json", pretty(known))
    disk.sync_folder(folder)
    index.put(known)
    return dict(known)
