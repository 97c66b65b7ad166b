import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results import summary
from harness.results.disk import Disk
from harness.results.store import Store
from tests.results.documents import a_run, a_stored_run

HEADING = (
    "run_id,scenario,device,model,status,reason,verdict,exit_code,started_at,duration_s,iterations,error_rate,"
    "metric,unit,n,mean,p50,p95,p99,config_digest,host,tags"
)


def rows_of(outputs: Path) -> list[dict[str, str]]:
    with (outputs / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_the_columns_are_part_of_the_contract(store: Store) -> None:
    a_stored_run(store)
    assert (store.outputs / "summary.csv").read_text().splitlines()[0] == HEADING


def test_a_scenario_with_other_metrics_changes_no_column(store: Store) -> None:
    """The published harness took its columns from the metrics of the first scenario: the second one's then moved."""
    a_stored_run(store, "rollback", measured={"step.latency_ms": [1.0, 2.0]})
    first = (store.outputs / "summary.csv").read_text()
    a_stored_run(
        store, "prefetch", measured={"other.rate": [7.0], "step.late_total": [1.0], "iteration.duration_ms": [5.0]}
    )
    assert (store.outputs / "summary.csv").read_text().startswith(first)
    rollback, prefetch = rows_of(store.outputs)
    assert rollback.keys() == prefetch.keys()
    assert (rollback["metric"], rollback["unit"], rollback["p50"]) == ("step.latency_ms", "ms", "1.5")
    assert (prefetch["metric"], prefetch["n"], prefetch["mean"]) == ("iteration.duration_ms", "1", "5.0")
    assert None not in prefetch


def test_a_run_that_measured_nothing_has_a_row_with_empty_cells(store: Store) -> None:
    run = a_run(store)
    store.close_run(run.run_id, "cancelled", exit_code=130)
    (row,) = rows_of(store.outputs)
    assert (row["status"], row["exit_code"], row["metric"], row["mean"]) == ("cancelled", "130", "", "")


def test_a_failed_run_tells_its_reason(store: Store) -> None:
    a_stored_run(store, run={"status": "failed", "reason": {"kind": "timeout", "message": "late, very\nlate"}})
    assert rows_of(store.outputs)[0]["reason"] == "timeout"


def test_a_file_with_other_columns_is_moved_aside_and_never_mixed(store: Store) -> None:
    for content in ("run,mean\nold,1\n", "other\n"):
        (store.outputs / "summary.csv").write_text(content)
        a_stored_run(store)
        assert (store.outputs / "summary.csv").read_text().startswith(HEADING)
    assert (store.outputs / "summary.old-1.csv").read_text() == "run,mean\nold,1\n"
    assert (store.outputs / "summary.old-2.csv").read_text() == "other\n"
    assert len(rows_of(store.outputs)) == 1


def test_commas_quotes_and_line_breaks_stay_inside_their_cell(store: Store) -> None:
    a_stored_run(store, run={"tags": ['a,"b"', "c\nd"], "model": "x\r\ny"})
    (row,) = rows_of(store.outputs)
    assert (row["tags"], row["model"]) == ('a,"b" c d', "x y")
    assert len((store.outputs / "summary.csv").read_text().splitlines()) == 2


@given(st.dictionaries(st.sampled_from(summary.COLUMNS), st.text() | st.none() | st.floats() | st.integers()))
def test_any_values_make_one_line_with_every_column(values: dict[str, object]) -> None:
    text = summary.line(values).decode("utf-8", "surrogatepass")
    (cells,) = csv.reader([text])
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert len(cells) == len(summary.COLUMNS)


def test_half_a_row_is_not_taken_for_the_row(store: Store) -> None:
    _, manifest = a_stored_run(store)
    path = store.outputs / "summary.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    summary.append(store.outputs, manifest, Disk(), once=True)
    assert path.read_bytes() == whole


def test_a_row_that_is_there_is_not_written_twice(store: Store) -> None:
    _, manifest = a_stored_run(store)
    summary.append(store.outputs, manifest, Disk(), once=True)
    assert len(rows_of(store.outputs)) == 1
    summary.append(store.outputs, {**manifest, "run_id": "another"}, Disk(), once=True)
    assert len(rows_of(store.outputs)) == 2
