from pathlib import Path

from harness.results.overview import overview
from harness.results.store import Store
from tests.results.documents import a_stored_run
from tests.track.stored import a_timed_run

FAIL = {"metric": "step.latency_ms", "stat": "p50", "critical": "> 1"}


def test_runs_are_counted_by_scenario_status_and_verdict(tmp_path: Path) -> None:
    store = Store(tmp_path)
    a_stored_run(store)
    a_stored_run(store, rules=[FAIL], failed=2)
    _, failed = a_stored_run(store, "prefetch", run={"status": "failed", "reason": {"kind": "error", "message": "x"}})
    found = overview(store.index.find())
    store.close()
    assert (found["runs"], found["measured_s"]) == (3, 7.5)
    assert found["statuses"] == {"completed": 2, "failed": 1}
    assert found["verdicts"] == {"fail": 1, "none": 2}
    prefetch, rollback = found["scenarios"]
    assert (prefetch["scenario"], prefetch["runs"]) == ("prefetch", 1)
    assert (rollback["worst_error_rate"], rollback["median_p50"]) == (0.2, 12.0)
    assert found["troubled_total"] == 2
    assert found["troubled"][0]["run_id"] == failed["run_id"]


def test_nothing_is_counted_where_nothing_is() -> None:
    assert overview([])["scenarios"] == []
    assert overview([])["from"] is None


def test_how_good_the_estimates_of_the_end_were_is_a_number(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for error in (0.1, -0.15, 0.4):
        a_timed_run(store, {"setup": 1.0}, eta={"runs": 3, "elsewhere": False, "told": [], "error": error})
    a_timed_run(store, {"setup": 1.0}, eta={"runs": 0, "elsewhere": False, "told": [], "error": None})
    found = overview(store.index.find())["eta"]
    store.close()
    assert (found["runs"], found["within_20pct"]) == (3, 2)
    assert abs(found["median_error_percent"] - 15.0) < 1e-9
