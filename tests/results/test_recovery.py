import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from harness.results import identity, schema
from harness.results.canonical import pretty
from harness.results.history import History
from harness.results.store import OpenRun, Store
from tests.results.documents import a_result, a_run, a_stored_run, measured_so_far


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "outputs")
    yield found
    found.close()


def orphaned(store: Store, **changes: Any) -> OpenRun:
    """A run whose supervisor has gone away: its marker and manifest name a process that is no more."""
    writer = Store(store.outputs)
    run = a_run(writer)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        owner = identity.of(gone.pid) or identity.Identity("", gone.pid, 1)
    for path in (run.folder / "manifest.json", store.active / run.run_id):
        path.write_bytes(pretty({**run.manifest, "identity": owner.as_dict(), **changes}))
    run.lock.release()
    writer.close()
    return run


def test_a_run_whose_process_is_gone_is_marked_crashed_with_its_last_iteration(store: Store) -> None:
    run = orphaned(store)
    measured_so_far(run.folder, 7)
    (found,) = store.recover()
    stored = schema.read(run.folder / "manifest.json", "manifest")
    assert found == stored
    assert schema.validate(stored, "manifest") == []
    assert (stored["status"], stored["completed_iterations"], stored["exit_code"]) == ("crashed", 7, 3)
    assert stored["reason"]["kind"] == "lost"
    assert stored["recovered_at"] >= stored["created_at"]
    assert stored["artifacts"] == ["config.yaml", "manifest.json", "samples.bin"]
    assert list(store.active.iterdir()) == []
    assert store.index.find(status="crashed")[0]["run_id"] == run.run_id
    assert f"\n{run.run_id},rollback,cpu,linear,crashed,lost," in (store.outputs / "summary.csv").read_text()
    assert store.recover() == []


def test_any_reading_command_recovers(store: Store) -> None:
    run = orphaned(store)
    history = History(store.outputs)
    assert [manifest["run_id"] for manifest in history.recover()] == [run.run_id]
    assert history.index.find()[0]["status"] == "crashed"
    assert history.recover() == []
    history.close()


def test_a_living_run_is_left_alone_by_others(store: Store) -> None:
    run = a_run(store)
    other = Store(store.outputs)
    assert other.recover() == []
    assert (store.active / run.run_id).exists()
    other.close()


def test_a_run_killed_before_measuring_has_no_iterations(store: Store) -> None:
    run = orphaned(store)
    (run.folder / "samples.bin").write_bytes(b"\0" * 200)
    assert store.recover()[0]["completed_iterations"] == 0


def test_a_result_that_was_kept_before_the_kill_is_adopted(store: Store) -> None:
    run = orphaned(store)
    result = a_result({"run_id": run.run_id})
    (run.folder / "result.json").write_bytes(pretty(result))
    (found,) = store.recover()
    assert (found["status"], found["verdict"]) == ("completed", "none")
    assert found["recovered_at"] is not None
    assert found["headline"]["p50"] == 12.0


@pytest.mark.parametrize("damage", ["torn", "changed", "of another run"])
def test_a_result_that_cannot_be_believed_is_not_adopted(damage: str, store: Store) -> None:
    run = orphaned(store)
    result = a_result({"run_id": run.run_id if damage != "of another run" else "another"})
    text = pretty({**result, "exit_code": 1} if damage == "changed" else result)
    (run.folder / "result.json").write_bytes(text[:300] if damage == "torn" else text)
    assert store.recover()[0]["status"] == "crashed"


def test_a_run_that_ended_but_kept_its_marker_only_loses_the_marker(store: Store) -> None:
    _, manifest = a_stored_run(store)
    before = (store.runs / manifest["run_id"] / "manifest.json").read_bytes()
    (store.active / manifest["run_id"]).write_bytes(
        pretty({**manifest, "identity": {"boot_id": "x", "pid": 1, "start_ticks": 1}})
    )
    assert [found["status"] for found in store.recover()] == ["completed"]
    assert (store.runs / manifest["run_id"] / "manifest.json").read_bytes() == before
    assert (store.outputs / "summary.csv").read_text().count(manifest["run_id"]) == 1


def test_a_marker_without_a_folder_was_never_acknowledged(store: Store) -> None:
    run = orphaned(store)
    for path in run.folder.iterdir():
        path.unlink()
    run.folder.rmdir()
    assert store.recover() == []
    assert list(store.active.iterdir()) == []
    assert not (store.outputs / "summary.csv").exists()


def test_without_a_manifest_the_marker_tells_what_ran(store: Store) -> None:
    run = orphaned(store)
    (run.folder / "manifest.json").unlink()
    (run.folder / ".manifest.json.99.tmp").write_text("{")
    assert store.recover()[0]["status"] == "crashed"
    assert schema.read(run.folder / "manifest.json", "manifest")["scenario"] == "rollback"
    assert {path.name for path in run.folder.iterdir()} == {"manifest.json", "config.yaml"}


def test_a_run_of_another_host_is_dead_only_when_its_lock_is_free(store: Store) -> None:
    """Two hosts, or two containers, may share the folder: the other's process ids say nothing here."""
    run = orphaned(store, host="elsewhere")
    lock = FileLock(store.active / f".{run.run_id}.lock")
    with lock:
        assert store.recover() == []
    assert store.recover()[0]["status"] == "crashed"


def test_a_strange_file_among_the_markers_disturbs_nothing(store: Store) -> None:
    run = orphaned(store)
    (store.active / "README").write_text("hands off")
    assert [found["run_id"] for found in store.recover()] == [run.run_id]
    assert (store.active / "README").exists()


def test_old_locks_without_a_run_are_swept_and_young_ones_kept(store: Store) -> None:
    orphaned(store)
    old, young = store.active / ".a-run.lock", store.active / ".b-run.lock"
    old.write_text("")
    young.write_text("")
    os.utime(old, (1e9, 1e9))
    store.recover()
    assert [path.name for path in store.active.iterdir()] == [".b-run.lock"]


def test_two_commands_that_recover_at_once_leave_one_row(store: Store) -> None:
    run = orphaned(store)
    marker = (store.active / run.run_id).read_bytes()
    store.recover()
    (store.active / run.run_id).write_bytes(marker)
    other = Store(store.outputs)
    other.recover()
    assert (store.outputs / "summary.csv").read_text().count(f"\n{run.run_id},") == 1
    assert json.loads((run.folder / "manifest.json").read_bytes())["status"] == "crashed"
    other.close()
