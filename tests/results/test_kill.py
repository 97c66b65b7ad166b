"""kill -9 of a writer between any two changes of the disk, and in the middle of each write."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.engine.journal import read_journal
from harness.results.history import History
from harness.results.store import Store
from harness.results.verify import problems_of
from tests.results.test_summary import rows_of

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["between", "torn"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store for each kill point."""
    folder = tmp_path_factory.mktemp(request.param)
    command = [sys.executable, "-m", "tests.results.killed_writer", str(folder), request.param]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def points(root: Path) -> list[Path]:
    return sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: int(path.name))


def acknowledged(point: Path, what: str) -> set[str]:
    log = point.with_suffix(".log")
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return {run_id for word, run_id in lines if word == what}


def test_every_kill_leaves_whole_documents_and_loses_nothing_acknowledged(root: Path) -> None:
    found = points(root)
    assert len(found) > 40, "each run takes more than twenty changes"
    crashed = 0
    for point in found:
        store = Store(point)
        store.recover()
        rows = {row["run_id"]: row for row in store.index.find()}
        created, finished = acknowledged(point, "created"), acknowledged(point, "finished")
        assert created <= rows.keys(), point
        assert all(rows[run_id]["status"] == "completed" for run_id in finished), point
        for run_id, row in rows.items():
            assert row["status"] in ("completed", "crashed"), point
            assert problems_of(store.runs / run_id, read_journal) == [], point
            crashed += row["status"] == "crashed"
        assert not list(store.runs.rglob(".*")), "a temporary file was left"
        if rows:
            assert sorted(row["run_id"] for row in rows_of(point)) == sorted(rows), point
        assert [path for path in store.active.glob("*") if not path.name.startswith(".")] == [], point
        assert store.recover() == [], point
        store.close()
    assert crashed > 20


def test_the_writer_that_was_not_killed_completed_both_runs(root: Path) -> None:
    point = points(root)[-1]
    assert len(acknowledged(point, "finished")) == 2
    history = History(point)
    assert [row["status"] for row in history.index.find()] == ["completed", "completed"]
    history.close()


def test_a_new_run_can_be_stored_after_every_kill(root: Path) -> None:
    from tests.results.documents import a_stored_run

    for point in points(root)[::5]:
        store = Store(point)
        _, manifest = a_stored_run(store)
        assert rows_of(point)[-1]["run_id"] == manifest["run_id"]
        store.close()
