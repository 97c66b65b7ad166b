import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.baseline import main
from harness.errors import RefusedError
from harness.results import baseline
from harness.results.store import Store
from tests.results.documents import a_run, a_stored_run


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("HARNESS_OUTPUTS", str(tmp_path / "outputs"))
    (tmp_path / "baselines").mkdir()
    monkeypatch.chdir(tmp_path)
    found = Store(tmp_path / "outputs")
    yield found
    found.close()


def test_a_saved_run_is_shown(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    _, manifest = a_stored_run(store)
    assert main(["save", "last"]) == 0
    out = capsys.readouterr().out
    assert f"{manifest['run_id']} is the baseline of rollback on cpu: " in out
    assert "it holds no canary" in out
    assert baseline.load(Path("baselines/rollback/cpu.json"))["run_id"] == manifest["run_id"]
    assert main(["show"]) == 0
    assert "saved (UTC)" in capsys.readouterr().out
    assert main(["show", "rollback"]) == 0
    out = capsys.readouterr().out
    assert f"rollback on cpu: run {manifest['run_id']}" in out
    assert "12.07 ± 0.22" in out


def test_the_second_save_says_what_it_replaces(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (a_stored_run(store)[1]["run_id"] for _ in range(2))
    main(["save", first])
    main(["save", second])
    assert f", in place of {first}: " in capsys.readouterr().out


def test_another_folder_can_be_named(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_stored_run(store)
    other = tmp_path / "elsewhere"
    assert main(["save", "last", "--to", str(other)]) == 0
    assert (other / "rollback/cpu.json").exists()
    capsys.readouterr()
    assert main(["show", "--from", str(other), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["scenario"] == "rollback"
    assert main(["show", "--from", str(other), "--device", "cuda"]) == 0
    assert capsys.readouterr().out == f"no baseline matches in {other}\n"


def test_a_run_without_a_result_is_refused(store: Store) -> None:
    run = a_run(store)
    store.close_run(run.run_id, "cancelled", exit_code=130)
    with pytest.raises(RefusedError, match="it has no result"):
        main(["save", run.run_id])


def test_a_verb_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "save|show" in capsys.readouterr().err
