"""kill -9 of a writer between any two changes of the disk, and in the middle of each write."""

import subprocess
import sys
from pathlib import Path

from harness.journal.lines import read_journal
from harness.results.store import Store
from harness.results.verify import problems_of
from tests.results.documents import a_stored_run
from tests.results.test_summary import rows_of

TOP = Path(__file__).parents[2]


def killed_at_every_point(folder: Path) -> list[Path]:
    """A store for each kill point, the last one of a writer that came to its end."""
    command = [sys.executable, "-m", "tests.results.killed_writer", str(folder)]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: int(path.name))


def acknowledged(point: Path, what: str) -> set[str]:
    log = point.with_suffix(".log")
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return {run_id for word, run_id in lines if word == what}


def ends_of_recovered_runs(point: Path) -> list[str]:
    """Recovers the store and holds everything in it against what was acknowledged; how each run ended."""
    store = Store(point)
    store.recover()
    rows = {row["run_id"]: row for row in store.index.find()}
    assert acknowledged(point, "created") <= rows.keys(), point
    assert all(rows[run_id]["status"] == "completed" for run_id in acknowledged(point, "finished")), point
    for run_id in rows:
        assert problems_of(store.runs / run_id, read_journal) == [], point
    assert not list(store.runs.rglob(".*")), f"{point}: a temporary file was left"
    assert [path for path in store.active.glob("*") if not path.name.startswith(".")] == [], point
    if rows:
        assert sorted(row["run_id"] for row in rows_of(point)) == sorted(rows), point
    assert store.recover() == [], point
    _, next_one = a_stored_run(store)
    assert rows_of(point)[-1]["run_id"] == next_one["run_id"], f"{point}: the store takes no further run"
    store.close()
    return [row["status"] for row in rows.values()]


def test_every_kill_leaves_whole_documents_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    points = killed_at_every_point(tmp_path)
    assert len(points) > 40, "each of the two runs takes more than twenty changes"
    ends = [ends_of_recovered_runs(point) for point in points]
    assert {status for found in ends for status in found} == {"completed", "crashed"}
    assert ends[0] == []
    assert ends[-1] == ["completed", "completed"]
    assert len(acknowledged(points[-1], "finished")) == 2
