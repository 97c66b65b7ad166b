"""The verb writes a folder a run, and goes on with a run for as long as it lasts."""

from pathlib import Path

import pytest

from harness.cli.tensorboard import main
from harness.errors import NotFound
from harness.results.store import Store
from tests.cli.stores import store as store
from tests.results.documents import a_run, a_stored_run, measured_so_far

pytest.importorskip("tensorboard")


def test_each_run_gets_a_folder_of_its_own(store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = [a_stored_run(store)[0]["run_id"] for _ in range(2)]
    for run_id in made:
        measured_so_far(store.runs / run_id, 7)
    assert main([*made, "--to", str(tmp_path / "shown"), "--follow"]) == 0
    out = capsys.readouterr().out
    for run_id in made:
        assert f"{run_id}: 7 numbers in" in out
        assert len(list((tmp_path / "shown" / run_id).glob("events.out.tfevents.*"))) == 1
    assert f"tensorboard --logdir {tmp_path / 'shown'}" in out


def test_a_run_that_still_runs_is_shown_as_far_as_it_is(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run(store)
    measured_so_far(run.folder, 3)
    assert main(["last"]) == 0
    assert ": 3 numbers in" in capsys.readouterr().out
    assert (store.outputs / "tensorboard" / run.run_id).is_dir()


def test_a_run_that_does_not_exist_is_told(store: Store) -> None:
    with pytest.raises(NotFound):
        main(["nothing"])
