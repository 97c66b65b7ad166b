"""`tag`, `pin` and `note`, and where what they add is seen."""

import json

import pytest

from harness.cli import note, pin, results, show, tag
from harness.errors import NotFound
from harness.results.store import Store
from tests.cli.stores import store as store
from tests.results.documents import a_stored_run


def test_what_people_add_is_shown_and_found(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    _, first = a_stored_run(store)
    _, second = a_stored_run(store)
    assert tag.main([first["run_id"], second["run_id"], "--add", "best", "--remove", "nightly"]) == 0
    assert pin.main([first["run_id"]]) == 0
    assert note.main([first["run_id"], "the", "fan", "was", "loud"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{first['run_id']}: tags: best"
    assert said[2:] == [f"{first['run_id']}: pinned", f"{first['run_id']}: 1 notes"]
    results.main(["--tag", "best", "--pinned", "--json"])
    assert [row["run_id"] for row in json.loads(capsys.readouterr().out)] == [first["run_id"]]
    show.main([first["run_id"]])
    out = capsys.readouterr().out
    assert "tags     best\n" in out
    assert "pinned   kept by prune\n" in out
    assert "the fan was loud\n" in out
    assert pin.main([first["run_id"], "--off", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["pinned"] is False


def test_secrets_do_not_get_into_tags_and_notes(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", "hunter2hunter2")
    _, known = a_stored_run(store)
    note.main(["last", "called with hunter2hunter2 and --password abcdefg"])
    tag.main(["last", "--add", "token=hunter2hunter2"])
    text = (store.runs / known["run_id"] / "manifest.json").read_text()
    assert "hunter2" not in text
    assert "abcdefg" not in text


def test_a_tag_must_be_named_and_the_run_must_exist(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tag.main(["last"])
    assert "say which tag with --add or --remove" in capsys.readouterr().err
    with pytest.raises(NotFound):
        pin.main(["none"])
