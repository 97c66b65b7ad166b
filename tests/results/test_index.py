import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from harness.results import index
from harness.results.index import Index
from harness.results.store import Store
from harness.results.times import epoch
from tests.results.documents import a_run, a_stored_run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def ids(found: list[dict[str, object]]) -> list[object]:
    return [row["run_id"] for row in found]


def three_runs(store: Store) -> list[str]:
    runs = [
        a_stored_run(store, "rollback", run={"tags": ["nightly", "gpu"]}),
        a_stored_run(
            store, "prefetch", run={"status": "failed", "reason": {"kind": "error", "message": "x"}, "tags": []}
        ),
        a_stored_run(store, "rollback", run={"model": "mlp", "device": "cuda", "tags": ["nightly"]}),
    ]
    return [manifest["run_id"] for _, manifest in runs]


def test_runs_are_found_newest_first_by_every_filter(store: Store) -> None:
    first, second, third = three_runs(store)
    find = store.index.find
    assert ids(find()) == [third, second, first]
    assert ids(find(last=2)) == [third, second]
    assert ids(find(status="failed")) == [second]
    assert ids(find(status=["failed", "completed"])) == [third, second, first]
    assert ids(find(scenario="rollback", device="cuda")) == [third]
    assert ids(find(model="mlp")) == [third]
    assert ids(find(tag="nightly")) == [third, first]
    assert ids(find(tag="night")) == []
    created = epoch(store.index.find(scenario="prefetch")[0]["created_at"])
    assert ids(find(since=created)) == [third, second]
    assert ids(find(until=created)) == [first]


def test_a_column_that_is_none_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="no column 'status; DROP'"):
        store.index.find(**{"status; DROP": "x"})


@pytest.mark.parametrize("damage", ["missing", "garbage", "cut", "other version", "no tables"])
def test_a_broken_index_is_rebuilt_from_the_manifests(
    damage: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    expected = three_runs(store)
    store.close()
    path = store.outputs / "index.sqlite"
    for name in index._FILES[1:]:
        (store.outputs / name).unlink(missing_ok=True)
    match damage:
        case "missing":
            path.unlink()
        case "garbage":
            path.write_bytes(b"no database at all" * 500)
        case "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 100])
        case "other version" | "no tables":
            connection = sqlite3.connect(path)
            connection.execute("PRAGMA user_version = 999" if damage == "other version" else "DROP TABLE runs")
            connection.commit()
            connection.close()
    found = Index(store.outputs)
    assert ids(found.find()) == expected[::-1]
    assert ids(found.find(tag="gpu")) == [expected[0]]
    found.close()
    told = {"garbage": "not a database", "cut": "malformed", "other version": "of version 999"}
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (damage in told)
    for message in messages:
        assert told[damage] in message
        assert message.endswith("it is read anew from the manifests")


def test_runs_copied_in_or_removed_by_hand_are_noticed(store: Store, tmp_path: Path) -> None:
    first, _, third = three_runs(store)
    assert len(store.index.find()) == 3
    shutil.rmtree(store.runs / third)
    other = Store(tmp_path / "other")
    _, manifest = a_stored_run(other, "imported")
    shutil.copytree(other.runs / manifest["run_id"], store.runs / manifest["run_id"])
    assert set(ids(store.index.find())) == {first, ids(store.index.find(scenario="prefetch"))[0], manifest["run_id"]}
    other.close()


def test_a_settled_folder_is_not_listed_again(store: Store) -> None:
    expected = three_runs(store)
    os.utime(store.runs, (1e9, 1e9))
    assert len(store.index.find()) == 3
    manifest = store.runs / expected[0] / "manifest.json"
    shutil.copytree(manifest.parent, store.runs / "copy")
    os.utime(store.runs, (1e9, 1e9))
    assert len(store.index.find()) == 3, "the time stamp says that nothing changed"
    os.utime(store.runs, (2e9, 2e9))
    (store.runs / "copy/manifest.json").write_text(json.dumps({**json.loads(manifest.read_text()), "run_id": "copy"}))
    assert len(store.index.find()) == 4


def test_a_run_believed_running_without_an_owner_is_read_again(store: Store) -> None:
    """After a power cut the index may lack what the manifest says."""
    run = a_run(store)
    assert store.index.find()[0]["status"] == "running"
    path = run.folder / "manifest.json"
    path.write_text(path.read_text().replace('"running"', '"failed"'))
    assert store.index.find()[0]["status"] == "running"
    (store.active / run.run_id).unlink()
    assert store.index.find()[0]["status"] == "failed"


def test_a_folder_without_a_readable_manifest_is_left_out(store: Store) -> None:
    expected = three_runs(store)
    (store.runs / "empty").mkdir()
    (store.runs / "torn").mkdir()
    (store.runs / "torn/manifest.json").write_text('{"run_id": "to')
    assert ids(store.index.find()) == expected[::-1]


def test_where_no_file_can_be_written_it_lives_in_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = three_runs(store)
    store.close()
    real = sqlite3.connect

    def only_memory(place: str, **options: object) -> sqlite3.Connection:
        if place != ":memory:":
            raise sqlite3.OperationalError("unable to open database file")
        return real(place, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3, "connect", only_memory)
    found = Index(store.outputs)
    assert ids(found.find()) == expected[::-1]
    found.close()


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    found = Index(tmp_path / "nothing")
    assert found.find() == []
    assert found.ids_like("2026") == []
    found.close()
    assert not (tmp_path / "nothing").exists()


def test_a_rebuild_counts_what_it_found(store: Store) -> None:
    three_runs(store)
    assert store.index.rebuild() == 3


def test_ids_are_found_by_their_beginning_and_by_their_last_digits(store: Store) -> None:
    first, second, third = three_runs(store)
    assert store.index.ids_like(first) == [first]
    assert store.index.ids_like(second[-6:]) == [second]
    assert set(store.index.ids_like(first[:8])) == {first, second, third}
    assert store.index.ids_like("%") == []
    assert store.index.ids_like("_") == []


def test_a_query_that_finds_nothing_new_writes_nothing(store: Store) -> None:
    three_runs(store)
    os.utime(store.runs, (1e9, 1e9))
    index = Index(store.outputs)
    index.find()
    before = index._open("").total_changes
    index.find(status="completed")
    assert index._open("").total_changes == before
    index.close()


def test_tags_of_a_run_are_found_without_reading_those_of_all_others(store: Store) -> None:
    """Trap: replacing the tags of one run read the whole table, which made a hundred thousand runs take hours."""
    three_runs(store)
    plan = store.index._open("").execute("EXPLAIN QUERY PLAN DELETE FROM tags WHERE run_id = 'x'").fetchall()
    assert "USING INDEX" in plan[0]["detail"] or "USING COVERING INDEX" in plan[0]["detail"]


def test_more_runs_than_one_batch_are_all_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_BATCH", 2)
    expected = three_runs(store)
    assert store.index.rebuild() == 3
    assert ids(store.index.find()) == expected[::-1]
