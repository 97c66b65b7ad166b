"""What is expected is learned from the completed runs of the same work, and from no others."""

from pathlib import Path

import pytest

from harness.results import identity
from harness.results.store import Store
from harness.results.work import work_digest
from harness.track.learned import Learned, learn_from
from tests.track.stored import WORK, a_timed_run

PHASES = {"setup": 1.0, "warmup": 3.0, "measure": 10.0, "report": 1.0}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def learned(store: Store, work: str = WORK, host: str | None = None) -> Learned:
    return learn_from(
        store.index, store.runs, scenario="rollback", device="cpu", work=work, host=host or identity.host()
    )


def test_an_empty_history_teaches_nothing(store: Store) -> None:
    assert learned(store) == Learned()


def test_each_step_is_expected_to_take_what_it_took(store: Store) -> None:
    a_timed_run(store, PHASES)
    a_timed_run(store, {**PHASES, "measure": 20.0})
    found = learned(store)
    assert found.runs == 2
    assert found.steps["phase:measure"].seconds == pytest.approx(13.0), "0.3 of the newer one"
    assert found.steps["phase:setup"].seconds == pytest.approx(1.0)


def test_other_work_teaches_nothing(store: Store) -> None:
    a_timed_run(store, PHASES, work="b" * 64)
    assert learned(store).runs == 0


def test_a_run_without_steps_teaches_nothing(store: Store) -> None:
    """Manifests of version 1 had none."""
    a_timed_run(store, PHASES, steps=[], eta=None)
    assert learned(store) == Learned()


def test_a_resumed_run_teaches_nothing_of_its_phases(store: Store) -> None:
    a_timed_run(store, PHASES, resumed_from="r0")
    assert learned(store).steps == {}


def test_runs_of_other_hosts_teach_only_where_this_one_has_none_and_that_is_said(store: Store) -> None:
    a_timed_run(store, PHASES)
    found = learned(store, host="another")
    assert (found.runs, found.elsewhere) == (1, True)
    assert not learned(store).elsewhere


def test_a_manifest_that_is_lost_is_a_gap_and_no_end(store: Store) -> None:
    run = a_timed_run(store, PHASES)
    a_timed_run(store, PHASES)
    assert learned(store).runs == 2
    (run.folder / "manifest.json").write_text("{")
    assert learned(store).runs == 1


def test_what_was_learned_goes_through_an_event_unharmed(store: Store) -> None:
    a_timed_run(store, PHASES)
    found = learned(store)
    assert Learned.read(found.told()) == found


def test_what_does_not_change_the_work_does_not_lose_its_history() -> None:
    config = {"scenario": {"_target_": "x.Y"}, "measure": {"iterations": 3}, "tags": [], "lock": {"mode": "exclusive"}}
    assert work_digest({**config, "tags": ["rerun_of=r1"], "lock": {"mode": "shared"}}) == work_digest(config)
    assert work_digest({**config, "measure": {"iterations": 4}}) != work_digest(config)
