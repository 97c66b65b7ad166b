import json
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreLost
from harness.results import baseline, retention
from harness.results.annotate import annotate, pinned
from harness.results.canonical import pretty
from harness.results.history import History
from harness.results.records import COMPARISON, SUITE, Kind, Named, ids
from harness.results.retention import plan, plan_records, protected, remove
from harness.results.store import Store
from harness.results.suite import load
from harness.results.times import FORMAT, epoch
from tests.results.documents import a_run, a_stored_run
from tests.results.stored_records import a_comparison, a_stored_suite, an_id, path_of
from tests.results.suites import a_suite

NOW = epoch("2027-06-01T00:00:00Z")
DAY_S = 86400.0


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


def aged(outputs: Path, days: float, **changes: object) -> str:
    """A run that was created so many days before now; its id."""
    store = Store(outputs)
    _, known = a_stored_run(store)
    store.close()
    path = outputs / "runs" / known["run_id"] / "manifest.json"
    created_at = datetime.fromtimestamp(NOW - days * DAY_S, UTC).strftime(FORMAT)
    path.write_bytes(pretty({**known, "created_at": created_at, **changes}))
    (outputs / "index.sqlite").unlink()
    return str(known["run_id"])


def planned(outputs: Path, names: Collection[str] = (), **limits: Any) -> retention.Plan:
    history = History(outputs)
    try:
        return plan(history, names, NOW, **limits)
    finally:
        history.close()


def test_runs_beyond_the_age_go_and_the_newest_stay_whatever_their_age(outputs: Path) -> None:
    ids = [aged(outputs, days) for days in (200, 120, 100, 80)]
    assert planned(outputs, newest=2).going == ids[:2]
    assert planned(outputs, newest=2).staying == {ids[2]: "one of the newest 2"}
    assert planned(outputs).going == [], "there are fewer than twenty"
    assert planned(outputs, newest=0, days=90.0).going == ids[:3]


def test_baselines_pinned_running_and_freshly_imported_runs_stay(outputs: Path) -> None:
    old = {name: aged(outputs, 200) for name in ("baseline", "pinned", "plain")}
    origin = {"kind": "store", "source": "/x", "imported_at": "2027-05-30T00:00:00.000000Z", "digest": None}
    old["imported"] = aged(outputs, 200, origin=origin)
    old["running"] = aged(outputs, 200, status="running")
    annotate(outputs, [old["pinned"]], pinned(True))
    found = planned(outputs, {old["baseline"]}, newest=0)
    assert found.going == [old["plain"]]
    assert found.staying == {
        old["baseline"]: "a baseline",
        old["pinned"]: "pinned",
        old["imported"]: "imported 2027-05-30",
        old["running"]: "running, and its process may live",
    }


def test_a_run_whose_process_lives_is_kept_whatever_its_age_and_number(outputs: Path) -> None:
    """Trap: pruning by count deleted runs that were still being measured."""
    store = Store(outputs)
    run = a_run(store)
    history = History(outputs)
    later = epoch(run.manifest["created_at"]) + 1000 * DAY_S
    assert plan(history, (), later, newest=0).going == []
    remove(outputs, [run.run_id])
    assert (run.folder / "manifest.json").exists(), "not even when it is named"
    history.close()
    store.close()


def test_removed_runs_are_gone_from_disk_and_index_and_stay_in_the_summary(outputs: Path) -> None:
    ids = [aged(outputs, 200) for _ in range(3)]
    freed = remove(outputs, ids[:2])
    assert freed > 1000
    history = History(outputs)
    assert [row["run_id"] for row in history.index.find()] == [ids[2]]
    assert sorted(path.name for path in history.runs.iterdir()) == [ids[2]]
    assert ids[0] in (outputs / "summary.csv").read_text()
    assert not (outputs / ".pruned").exists()
    history.close()


def test_a_run_that_was_pinned_after_the_plan_stays(outputs: Path) -> None:
    run_id = aged(outputs, 200)
    going = planned(outputs, newest=0).going
    annotate(outputs, [run_id], pinned(True))
    assert remove(outputs, going) == 0
    assert (outputs / "runs" / run_id).exists()


def test_a_kill_while_removing_leaves_whole_runs_or_none(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [aged(outputs, 200) for _ in range(2)]

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(retention.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(outputs, ids[:1])
    monkeypatch.undo()
    history = History(outputs)
    assert [row["run_id"] for row in history.index.find()] == ids[1:]
    assert list((outputs / ".pruned").iterdir()) != []
    remove(outputs, [])
    assert not (outputs / ".pruned").exists(), "the next one ends what was begun"
    history.close()


def test_a_baseline_that_cannot_be_read_stops_everything(outputs: Path, tmp_path: Path) -> None:
    run_id = aged(outputs, 200)
    history = History(outputs)
    result = history.result(run_id)
    assert result is not None
    path, _ = baseline.save(result, tmp_path / "baselines")
    assert protected([tmp_path / "baselines", tmp_path / "none"]) == {run_id}
    path.write_text(json.dumps({"schema": "harness.baseline/99"}))
    with pytest.raises(StoreLost):
        protected([tmp_path / "baselines"])
    history.close()


def planned_of(
    outputs: Path, kind: Kind, going: Collection[str] = (), at: float = NOW, **limits: Any
) -> retention.Plan:
    return plan_records(outputs, kind, going, at, **{"newest": 0, **limits})


@pytest.mark.parametrize(("kind", "make"), [(SUITE, a_stored_suite), (COMPARISON, a_comparison)])
def test_old_suites_and_comparisons_go_and_the_newest_stay(kind: Kind, make: Any, outputs: Path) -> None:
    made = [an_id(days, f"x-00000{days % 7}") for days in (200, 120, 100, 80)]
    for each in made:
        make(outputs, each)
    assert planned_of(outputs, kind).going == made[:3]
    assert planned_of(outputs, kind, newest=2) == retention.Plan(made[:2], {made[2]: "one of the newest 2"})
    assert plan_records(outputs, kind, (), NOW).going == [], "there are fewer than twenty"
    assert remove(outputs, [], {kind: made[:2]}) > 100
    assert ids(outputs, kind) == made[2:]
    assert not (outputs / ".pruned").exists()


def test_a_suite_stays_as_long_as_one_of_its_runs(outputs: Path) -> None:
    old, kept = aged(outputs, 200), aged(outputs, 200)
    mixed, whole = an_id(150, "suite.a-000001"), an_id(150, "suite.b-000002")
    a_stored_suite(outputs, mixed, [old, kept])
    a_stored_suite(outputs, whole, [old, "pruned long ago"])
    assert planned_of(outputs, SUITE).going == []
    found = planned_of(outputs, SUITE, [old])
    assert found == retention.Plan([whole], {mixed: "it holds a run that stays"})
    remove(outputs, [old], {SUITE: found.going})
    assert ids(outputs, SUITE) == [mixed]


def test_a_suite_whose_run_was_pinned_after_the_plan_stays_with_it(outputs: Path) -> None:
    run_id, suite_id = aged(outputs, 200), an_id(150, "suite.a-000001")
    a_stored_suite(outputs, suite_id, [run_id])
    found = planned_of(outputs, SUITE, [run_id])
    assert found.going == [suite_id]
    annotate(outputs, [run_id], pinned(True))
    remove(outputs, [run_id], {SUITE: found.going})
    assert ids(outputs, SUITE) == [suite_id]


def test_a_suite_that_runs_stays_whatever_its_age(outputs: Path) -> None:
    """Trap: a suite that was gone on with after the plan was made would lose its record while it runs."""
    record = a_suite(outputs)
    later = NOW + 1000 * DAY_S
    assert planned_of(outputs, SUITE, at=later).staying == {record.suite_id: "running, and its process may live"}
    record.end("cancelled", 130)
    going = planned_of(outputs, SUITE, at=later).going
    assert going == [record.suite_id]
    load(outputs, record.suite_id).again()
    remove(outputs, [], {SUITE: going})
    assert ids(outputs, SUITE) == [record.suite_id]


def test_a_suite_that_crashed_may_go_but_not_one_that_runs_elsewhere(outputs: Path) -> None:
    about = {"status": "running", "identity": None, "finished_at": None, "exit_code": None}
    here, there = an_id(100, "suite.a-000001"), an_id(100, "suite.b-000002")
    a_stored_suite(outputs, here, **about)
    a_stored_suite(outputs, there, **about, host="elsewhere")
    assert planned_of(outputs, SUITE).going == [here]


def test_what_cannot_be_read_or_dated_stays(outputs: Path) -> None:
    broken, copied = an_id(200, "ab-function-000001"), "my copy"
    for each in (broken, copied):
        a_comparison(outputs, each)
    path = path_of(outputs, Named(COMPARISON, broken))
    path.write_text(path.read_text().replace("same", "slower"))
    found = planned_of(outputs, COMPARISON)
    assert found.going == []
    assert found.staying == {broken: "it cannot be read", copied: "its name does not say when it was begun"}


def test_a_comparison_without_a_report_may_run_and_goes_a_day_later(outputs: Path) -> None:
    cut, fresh = an_id(3, "ab-function-000001"), an_id(0.5, "ab-function-000002")
    for each in (cut, fresh):
        (path_of(outputs, Named(COMPARISON, each)).parent / "arms").mkdir(parents=True)
    found = planned_of(outputs, COMPARISON, days=0)
    assert found == retention.Plan([cut], {fresh: "it has no report, and may still run"})
    remove(outputs, [], {COMPARISON: found.going})
    assert ids(outputs, COMPARISON) == [fresh]


def test_a_kill_while_removing_leaves_whole_suites_or_none(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [an_id(200, "suite.a-000001"), an_id(190, "suite.b-000002")]
    for each in made:
        a_stored_suite(outputs, each)

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(retention.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(outputs, [], {SUITE: made[:1]})
    monkeypatch.undo()
    assert ids(outputs, SUITE) == made[1:]
    remove(outputs, [], {SUITE: made[:1]})
    assert not (outputs / ".pruned").exists(), "the next one ends what was begun"
    assert ids(outputs, SUITE) == made[1:]
