import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.errors import RefusedError
from harness.journal.lines import read_journal
from harness.report.markdown import run_report
from harness.results import bundle, transfer
from harness.results.annotate import annotate, pinned, tagged
from harness.results.canonical import digest, pretty
from harness.results.history import History
from harness.results.store import Store
from harness.results.transfer import bring
from harness.results.verify import problems_of
from tests.results.documents import a_run, a_stored_run
from tests.results.test_summary import rows_of


def exported(outputs: Path, run_ids: list[str], to: Path) -> Path:
    history = History(outputs)
    to.write_bytes(pretty(bundle.build(history, run_ids)))
    history.close()
    return to


def a_store(outputs: Path, runs: int = 2) -> list[str]:
    store = Store(outputs)
    ids = [a_stored_run(store)[1]["run_id"] for _ in range(runs)]
    store.close()
    return ids


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_exported_is_imported_byte_for_byte_but_for_its_origin(tmp_path: Path) -> None:
    ids = a_store(tmp_path / "one")
    path = exported(tmp_path / "one", ids, tmp_path / "bundle.json")
    found = bring(path, tmp_path / "two", run_report)
    assert sorted(found) == sorted((run_id, "imported") for run_id in ids)
    history = History(tmp_path / "two")
    for run_id in ids:
        ours, theirs = content(tmp_path / "two/runs" / run_id), content(tmp_path / "one/runs" / run_id)
        known, before = json.loads(ours.pop("manifest.json")), json.loads(theirs.pop("manifest.json"))
        assert ours == theirs
        origin = known["origin"]
        assert {**known, "origin": None} == before
        assert (origin["kind"], origin["source"]) == ("bundle", str(path))
        assert problems_of(tmp_path / "two/runs" / run_id, read_journal) == []
    assert {row["run_id"] for row in history.index.find()} == set(ids)
    assert {row["run_id"] for row in rows_of(tmp_path / "two")} == set(ids)
    assert [path.name for path in (tmp_path / "two").glob(".incoming*")] == []
    history.close()


def test_importing_again_changes_nothing_even_where_people_added_something(tmp_path: Path) -> None:
    ids = a_store(tmp_path / "one")
    path = exported(tmp_path / "one", ids, tmp_path / "bundle.json")
    bring(path, tmp_path / "two", run_report)
    annotate(tmp_path / "two", ids, tagged(["mine"], []))
    annotate(tmp_path / "two", ids, pinned(True))
    assert {each.what for each in bring(path, tmp_path / "two", run_report)} == {"already here"}
    assert {each.what for each in bring(tmp_path / "two", tmp_path / "one", run_report)} == {"already here"}
    history = History(tmp_path / "two")
    assert history.manifest(ids[0])["tags"][-1] == "mine"
    history.close()
    assert len(rows_of(tmp_path / "two")) == 2


def test_a_run_of_one_id_with_other_content_stays_as_it_is(tmp_path: Path) -> None:
    (run_id,) = a_store(tmp_path / "one", 1)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    manifest = tmp_path / "two/runs" / run_id / "manifest.json"
    manifest.write_bytes(pretty({**json.loads(manifest.read_bytes()), "user": "somebody"}))
    assert bring(tmp_path / "one", tmp_path / "two", run_report) == [(run_id, "differs")]
    assert json.loads(manifest.read_bytes())["user"] == "somebody"


def test_stores_of_two_hosts_are_merged_without_their_unfinished_runs(tmp_path: Path) -> None:
    ids = a_store(tmp_path / "one")
    others = a_store(tmp_path / "two", 1)
    store = Store(tmp_path / "one")
    running = a_run(store)
    found = {each.run_id: each.what for each in bring(tmp_path / "one", tmp_path / "two", run_report)}
    assert found == {ids[0]: "imported", ids[1]: "imported", running.run_id: "not ended"}
    history = History(tmp_path / "two")
    assert {row["run_id"] for row in history.index.find()} == {*ids, *others}
    history.close()
    store.close()


def _bad_result(folder: Path) -> None:
    result = json.loads((folder / "result.json").read_bytes())
    result["metrics"]["step.latency_ms"]["statistics"]["p50"] = 1.0
    (folder / "result.json").write_bytes(pretty(result))


def _other_id(folder: Path) -> None:
    known = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_bytes(pretty({**known, "run_id": "another"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_bad_result, "its content does not have the digest that it states"),
        (_other_id, "run_id is another, and the folder is"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot read"),
        (lambda folder: (folder / "report.md").unlink(), "report.md: is listed in the manifest and missing"),
    ],
    ids=["result", "id", "manifest", "missing"],
)
def test_one_run_that_does_not_hold_refuses_the_whole_import(damage: Any, message: str, tmp_path: Path) -> None:
    ids = a_store(tmp_path / "one")
    document = json.loads(exported(tmp_path / "one", ids, tmp_path / "bundle.json").read_bytes())
    damaged = tmp_path / "work" / ids[1]
    shutil.copytree(tmp_path / "one/runs" / ids[1], damaged)
    damage(damaged)
    files = [bundle._file(path, path.name) for path in sorted(damaged.iterdir())]
    document["runs"][1]["files"] = files
    document["digest"] = digest({key: value for key, value in document.items() if key != "digest"})
    (tmp_path / "bundle.json").write_bytes(pretty(document))
    with pytest.raises(RefusedError) as caught:
        bring(tmp_path / "bundle.json", tmp_path / "two", run_report)
    assert message in str(caught.value)
    assert list((tmp_path / "two").rglob("*.json")) == [], "the run that was right was not taken either"


def test_a_link_in_another_store_does_not_bring_what_it_points_to(tmp_path: Path) -> None:
    (run_id,) = a_store(tmp_path / "one", 1)
    (tmp_path / "secret").write_text("s")
    (tmp_path / "one/runs" / run_id / "link.txt").symlink_to(tmp_path / "secret")
    bring(tmp_path / "one", tmp_path / "two", run_report)
    assert not (tmp_path / "two/runs" / run_id / "link.txt").exists()


def test_what_a_killed_import_left_is_no_run_and_goes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run_id,) = a_store(tmp_path / "one", 1)
    left = tmp_path / "two/.incoming-1/half"
    left.mkdir(parents=True)
    monkeypatch.setattr(transfer, "_LEFTOVER_S", -1.0)
    bring(tmp_path / "one", tmp_path / "two", run_report)
    assert not left.exists()
    history = History(tmp_path / "two")
    assert [row["run_id"] for row in history.index.find()] == [run_id]
    history.close()


def test_what_is_nothing_of_the_kind_says_what_could_be_imported(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for source, message in (
        (tmp_path / "x.json", "is nothing that can be imported"),
        (tmp_path / "missing.json", "cannot be read"),
        (tmp_path / "empty", "holds no runs"),
    ):
        with pytest.raises(RefusedError, match=message):
            bring(source, tmp_path / "two", run_report)
    with pytest.raises(RefusedError, match="is no file of pyperf"):
        bring(tmp_path / "x.json", tmp_path / "two", run_report, "pyperf")
