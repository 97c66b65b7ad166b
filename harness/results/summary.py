"""`summary.csv`: one row a run, in one set of columns for every scenario, for spreadsheets and shell tools."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import StoreLost
from harness.results.disk import Disk

# Fixed: a scenario with other metrics must not move or rename a column; its main metric stands in `metric` to `p99`.
COLUMNS = (
    "run_id",
    "scenario",
    "device",
    "model",
    "status",
    "reason",
    "verdict",
    "exit_code",
    "started_at",
    "duration_s",
    "iterations",
    "error_rate",
    "metric",
    "unit",
    "n",
    "mean",
    "p50",
    "p95",
    "p99",
    "config_digest",
    "host",
    "tags",
)
_LOCK_WAIT_S = 10.0


def _field(value: object) -> str:
    return "" if value is None else " ".join(str(value).splitlines())


def line(values: Mapping[str, Any]) -> bytes:
    """One row as bytes: empty where there is no value, never a line break inside a field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_field(values.get(column)) for column in COLUMNS])
    return text.getvalue().encode("utf-8", "replace")


HEADING = line({column: column for column in COLUMNS})


def row(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a run that has ended."""
    return {
        **{column: manifest.get(column) for column in COLUMNS},
        "reason": (manifest["reason"] or {}).get("kind"),
        "iterations": manifest["completed_iterations"],
        **(manifest["headline"] or {}),
        "tags": " ".join(manifest["tags"]),
    }


def append(outputs: Path, manifest: Mapping[str, Any], disk: Disk, *, once: bool = False) -> None:
    """Adds the row of a run; a file with other columns is moved aside first. With `once` a row that is there is enough.

    Raises:
        OSError: the file cannot be written.
        StoreLost: another process keeps the file's lock.
    """
    from filelock import FileLock, Timeout

    path = outputs / "summary.csv"
    try:
        with FileLock(outputs / ".summary.lock", timeout=_LOCK_WAIT_S):
            if path.exists() and not _starts_right(path):
                disk.about_to("move aside", path)
                path.replace(_free_name(path))
            if not (once and _holds(path, manifest["run_id"])):
                disk.append(path, [line(row(manifest))], HEADING)
    except Timeout as error:
        raise StoreLost(
            f"{path} is locked by another process for more than {_LOCK_WAIT_S:g} s", "end that process, then run again"
        ) from error


def _starts_right(path: Path) -> bool:
    """Whether the file is empty, begins with our heading, or was torn while the heading was written."""
    with path.open("rb") as file:
        start = file.read(len(HEADING))
    return start == HEADING or (len(start) < len(HEADING) and HEADING.startswith(start))


def _free_name(path: Path) -> Path:
    """A name beside the file that nothing has yet: `summary.old-1.csv`."""
    count = 1
    while (found := path.with_name(f"{path.stem}.old-{count}{path.suffix}")).exists():
        count += 1
    return found


def _holds(path: Path, run_id: str) -> bool:
    """Whether a whole row of the run is there; a torn last one is about to be cut off."""
    if not path.exists():
        return False
    content = path.read_bytes()
    return f"\n{run_id},".encode() in content[: content.rfind(b"\n") + 1]
