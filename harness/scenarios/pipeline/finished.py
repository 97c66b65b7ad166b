"""What a step left when it had finished: its record beside its artifacts, from which a resumed run takes it over."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import StoreLost
from harness.results import schema
from harness.results.canonical import file_digest, pretty
from harness.results.disk import Disk

SCHEMA = "harness.step/1"


@dataclass(frozen=True)
class Finished:
    """A step that came to its end."""

    name: str
    duration_s: float
    metrics: Sequence[tuple[str, float]]
    artifacts: Sequence[dict[str, Any]]  # path below the step's folder, bytes, sha256


def record_of(folder: Path) -> Path:
    """The file that says that the step of this folder has finished."""
    return folder.with_name(f"{folder.name}.json")


def artifacts_in(folder: Path) -> list[dict[str, Any]]:
    """Every file that a step has left, by sorted path, with its size and sum."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [
        {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in files
    ]


def keep(folder: Path, finished: Finished) -> None:
    """Writes the record; when this returns, a kill or a power cut does not make the step run again.

    Raises:
        OSError: the disk has no room, or cannot be written.
    """
    disk = Disk()
    for artifact in finished.artifacts:
        with (folder / artifact["path"]).open("rb+") as file:
            disk.sync(file.fileno())
    disk.sync_folder(folder)
    disk.write(record_of(folder), pretty({"schema": SCHEMA, **asdict(finished)}))
    disk.sync_folder(folder.parent)


def take_over(source: Path, folder: Path) -> Finished | str:
    """Copies a step that had finished in another run, or says why it must be run again.

    Raises:
        OSError: the copy cannot be written.
    """
    if not record_of(source).exists():
        return "it had not finished"
    try:
        known = schema.read(record_of(source), "step")
    except StoreLost as error:
        return error.message
    if artifacts_in(source) != known["artifacts"]:
        return "its artifacts are not as it left them"
    shutil.copytree(source, folder)
    metrics = [(str(name), float(value)) for name, value in known["metrics"]]
    finished = Finished(known["name"], known["duration_s"], metrics, known["artifacts"])
    keep(folder, finished)
    return finished
