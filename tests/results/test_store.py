import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import NotFound, StorageRefused, StoreLost
from harness.report.markdown import run_report
from harness.results import schema
from harness.results.disk import Disk
from harness.results.history import History
from harness.results.store import Store
from tests.results.documents import a_result, a_run, a_stored_run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "outputs")


@pytest.fixture
def history(store: Store) -> Iterator[History]:
    found = History(store.outputs)
    yield found
    found.close()


def test_a_new_run_has_a_folder_a_valid_manifest_and_a_marker(store: Store) -> None:
    run = a_run(store)
    manifest = json.loads((run.folder / "manifest.json").read_bytes())
    assert schema.validate(manifest, "manifest") == []
    assert manifest["status"] == "running"
    assert manifest["identity"]["pid"] == os.getpid()
    assert manifest["artifacts"] == ["config.yaml", "manifest.json"]
    assert (run.folder / "config.yaml").read_text() == "seed: 0\n"
    assert (store.active / run.run_id).exists()
    assert run.run_id.split("-")[1] == "rollback"


def test_runs_of_one_second_have_folders_of_their_own(store: Store) -> None:
    assert len({a_run(store).run_id for _ in range(20)}) == 20


def test_a_scenario_with_a_path_in_its_name_stays_inside_the_store(store: Store) -> None:
    run = a_run(store, "../../training/rollback")
    assert run.folder.parent == store.runs
    store.finish(a_result({"run_id": run.run_id, "scenario": "../../training/rollback"}), report="")
    assert (run.folder / "..-..-training-rollback_metrics.json").exists()


def test_a_finished_run_leaves_every_document_and_no_marker(store: Store, history: History) -> None:
    result, manifest = a_stored_run(store)
    folder = store.runs / result["run_id"]
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        "config.yaml",
        "result.json",
        "rollback_metrics.json",
        "report.md",
    }
    assert manifest["artifacts"] == sorted(path.name for path in folder.iterdir())
    assert schema.validate(manifest, "manifest") == []
    assert history.result(result["run_id"]) == result
    assert history.manifest(result["run_id"]) == manifest
    assert (folder / "report.md").read_text() == run_report(result)
    assert list(store.active.iterdir()) == []
    assert history.index.find()[0]["p50"] == 12.0


def test_the_manifest_tells_how_the_run_ended(store: Store) -> None:
    reason = {"kind": "timeout", "message": "not done within measure.timeout_s=2"}
    _, manifest = a_stored_run(store, run={"status": "failed", "reason": reason}, failed=4)
    assert (manifest["status"], manifest["reason"], manifest["exit_code"]) == ("failed", reason, 3)
    assert (manifest["completed_iterations"], manifest["error_rate"]) == (10, 0.4)
    assert manifest["headline"]["metric"] == "step.latency_ms"


def test_a_run_without_a_result_is_closed_with_its_reason(store: Store, history: History) -> None:
    run = a_run(store)
    reason = {"kind": "skipped", "message": "captured graphs need compile=eager"}
    manifest = store.close_run(run.run_id, "skipped", exit_code=0, reason=reason)
    assert schema.validate(manifest, "manifest") == []
    assert history.result(run.run_id) is None
    assert history.index.find(status="skipped")[0]["run_id"] == run.run_id
    assert list(store.active.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below", "missing/but/makeable"])
def test_only_a_folder_that_can_be_written_is_accepted(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / name)
    if name.startswith("missing"):
        assert a_run(store).folder.is_dir()
        return
    with pytest.raises(StorageRefused) as caught:
        a_run(store)
    assert f"the output folder {tmp_path / name} cannot be written" in str(caught.value)
    assert "HARNESS_OUTPUTS" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_folder_without_room_is_refused_before_anything_is_measured(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.outputs.mkdir()
    usage = shutil.disk_usage(store.outputs)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageRefused, match=r"has no room: less than 4 MiB are free\n  Free disk space"):
        a_run(store)
    assert list(store.runs.iterdir()) == []


class FullFrom(Disk):
    """A disk that is full from the write of a certain file on."""

    def __init__(self) -> None:
        self.name = "never"

    def about_to(self, step: str, path: Path) -> None:
        if self.name in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("name", ["metrics.json", "report.md", "result.json", "manifest.json", "summary.csv"])
def test_a_result_that_cannot_be_kept_is_told_and_the_run_stays_recoverable(name: str, tmp_path: Path) -> None:
    disk = FullFrom()
    store = Store(tmp_path, disk)
    run = a_run(store)
    disk.name = name
    with pytest.raises(StoreLost, match=r"could not be kept in .*: No space left") as caught:
        store.finish(a_result({"run_id": run.run_id}), report="")
    assert caught.value.exit_code == 3
    assert (store.active / run.run_id).exists()
    assert schema.read(run.folder / "manifest.json", "manifest")["status"] in ("running", "completed")
    disk.name = "never"
    store.finish(a_result({"run_id": run.run_id}), report="")
    assert list(store.active.iterdir()) == []


def test_a_report_with_half_a_surrogate_pair_is_still_kept(store: Store) -> None:
    run = a_run(store)
    store.finish(a_result({"run_id": run.run_id}), report="a\udc80b")
    assert (run.folder / "report.md").read_text() == "a?b"


def test_a_run_is_found_by_what_people_type(store: Store, history: History) -> None:
    first, second = a_stored_run(store, "alpha")[0]["run_id"], a_stored_run(store, "beta")[0]["run_id"]
    assert history.find("last") == second
    assert history.find(first) == first
    assert history.find(first[:-3]) == first
    assert history.find(first[-6:]) == first
    with pytest.raises(NotFound, match="more than one run is meant by"):
        history.find(first[:4])
    for text in ("nothing", "", "..", "%"):
        with pytest.raises(NotFound, match="no run"):
            history.find(text)


def test_an_empty_store_has_no_last_run(history: History) -> None:
    with pytest.raises(NotFound, match="no run is stored"):
        history.find("last")


def test_strangers_can_start_runs_at_once_in_one_store(store: Store) -> None:
    other = Store(store.outputs)
    mine, theirs = a_run(store), a_run(other)
    other.finish(a_result({"run_id": theirs.run_id}), report="")
    store.finish(a_result({"run_id": mine.run_id}), report="")
    assert {row["run_id"] for row in store.index.find(status="completed")} == {mine.run_id, theirs.run_id}
    other.close()


@pytest.mark.faults
def test_a_really_full_disk_is_refused_and_really_loses_nothing(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        store = Store(tmp_path / "outputs")
        run = a_run(store)
        filler = tmp_path / "filler"
        with pytest.raises(OSError, match="No space left"), filler.open("wb") as file:
            while True:
                file.write(b"\0" * 65536)
        with pytest.raises(StoreLost, match="No space left"):
            store.finish(a_result({"run_id": run.run_id}), report="x" * 65536)
        with pytest.raises(StorageRefused, match="no room"):
            a_run(Store(tmp_path / "outputs"))
        assert schema.read(run.folder / "manifest.json", "manifest")["status"] == "running"
        filler.unlink()
        store.finish(a_result({"run_id": run.run_id}), report="x" * 65536)
        assert schema.read(run.folder / "result.json", "result")["run_id"] == run.run_id
        store.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
