from pathlib import Path

import pytest

from harness.errors import NotFound
from harness.results.history import History
from harness.results.store import Store
from harness.results.trend import trend
from tests.results.documents import a_stored_run


@pytest.fixture
def history(tmp_path: Path) -> History:
    store = Store(tmp_path)
    for value, model in ((10.0, "a"), (10.5, "a"), (9.5, "a"), (15.0, "b")):
        a_stored_run(
            store,
            run={"model": model, "config": {"model": model}},
            measured={"step.latency_ms": [value] * 3, "other.rate": [1.0]},
        )
    a_stored_run(store, run={"status": "failed", "reason": {"kind": "error", "message": "x"}})
    store.close()
    return History(tmp_path)


def test_each_value_stands_beside_those_before_it(history: History) -> None:
    found = trend(history, "rollback", "step.latency_ms", "p50", last=10)
    assert [point["value"] for point in found["points"]] == [10.0, 10.5, 9.5, 15.0]
    assert [point["percent_of_before"] for point in found["points"]] == [
        None,
        pytest.approx(5.0),
        pytest.approx(-7.317, abs=0.01),
        pytest.approx(50.0),
    ]
    assert [point["changed"] for point in found["points"]] == [[], [], [], ["configuration", "model"]]
    assert (found["unit"], found["noise_floor"]) == ("ms", None)
    history.close()


def test_the_metric_is_by_default_that_of_the_lists(history: History) -> None:
    assert trend(history, "rollback", None, "mean", last=2)["metric"] == "other.rate"
    assert len(trend(history, "rollback", None, "mean", last=2)["points"]) == 2
    assert len(trend(history, "rollback", None, "mean", last=9, model="b")["points"]) == 1
    history.close()


def test_what_was_never_measured_is_told_with_what_was(history: History) -> None:
    with pytest.raises(NotFound) as caught:
        trend(history, "rollback", "latency", "p50", last=9)
    assert "They measured other.rate, step.latency_ms" in str(caught.value)
    with pytest.raises(NotFound, match="no completed run of 'x'"):
        trend(history, "x", None, "p50", last=9)
    history.close()


def test_a_run_whose_short_document_is_lost_is_left_out(history: History) -> None:
    newest = history.index.find(last=1, status="completed")[0]["run_id"]
    (history.runs / newest / "rollback_metrics.json").write_text("{")
    assert len(trend(history, "rollback", "step.latency_ms", "p50", last=9)["points"]) == 3
    history.close()


def test_the_last_change_is_found_where_it_was(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    runs = []
    for number in range(16):
        value = (10.0 if number < 8 else 12.0) + 0.01 * (number % 3)
        runs.append(a_stored_run(store, measured={"step.latency_ms": [value] * 3}))
    store.close()
    history = History(tmp_path)
    found = trend(history, "rollback", "step.latency_ms", "p50", last=20, changes=True)["change"]
    ordered = [point["run_id"] for point in trend(history, "rollback", "step.latency_ms", "p50", last=20)["points"]]
    assert (found["verdict"], found["since"], found["normalised"]) == ("slower", ordered[8], False)
    assert found["effect"] == pytest.approx(0.2, abs=0.01)
    history.close()


def test_a_history_that_only_follows_its_canary_has_not_changed(tmp_path: Path) -> None:
    """Trap: stored times compared plainly call the host's own change of speed a regression."""
    store = Store(tmp_path)
    for number in range(16):
        speed = 1.0 if number < 8 else 1.3
        measured = {"step.latency_ms": [speed * (10.0 + 0.01 * (number % 3))] * 3, "canary.duration_ms": [speed] * 3}
        a_stored_run(store, measured=measured)
    store.close()
    history = History(tmp_path)
    found = trend(history, "rollback", "step.latency_ms", "p50", last=20, changes=True)["change"]
    assert (found["verdict"], found["normalised"]) == ("same", True)
    history.close()
