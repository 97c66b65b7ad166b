import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from harness.cli.baseline import main as baseline
from harness.cli.prune import main
from harness.results.canonical import pretty
from harness.results.store import Store
from harness.results.times import FORMAT
from tests.cli.stores import store as store
from tests.results.documents import a_stored_run
from tests.results.stored_records import a_comparison, a_stored_suite


def test_old_runs_go_and_the_newest_twenty_and_baselines_stay(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [a_stored_run(store, f"s{number:02}")[1]["run_id"] for number in range(23)]
    baseline(["save", ids[0]])
    capsys.readouterr()
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == [], "they are younger than 90 days"
    assert main(["--days", "0", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"run {ids[1]}: would go\nrun {ids[2]}: would go\n20 runs as old stay: one of the newest 20\n" in out
    assert len(list(store.runs.iterdir())) == 23
    assert main(["--days", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["removed"] == ids[1:3]
    assert found["kept"][ids[0]] == "a baseline"
    assert {row["run_id"] for row in store.index.find()} == {ids[0], *ids[3:]}


def aged(store: Store, days: Iterable[float]) -> list[str]:
    """The ids of runs that were created so many days ago."""
    made = []
    for each in days:
        _, known = a_stored_run(store)
        created_at = datetime.fromtimestamp(time.time() - each * 86400.0, UTC).strftime(FORMAT)
        path = store.runs / known["run_id"] / "manifest.json"
        path.write_bytes(pretty({**known, "created_at": created_at}))
        made.append(str(known["run_id"]))
    store.close()
    (store.outputs / "index.sqlite").unlink()
    return made


@pytest.mark.parametrize(
    "days",
    [[90.1, 89.9, *[1.0] * 20], [101.0, *[100.0] * 20]],
    ids=["ninety days, beyond the newest twenty", "the newest twenty, whatever their age"],
)
def test_what_stays_where_nothing_is_said(days: list[float], store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    made = aged(store, days)
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == made[:1]


@pytest.mark.parametrize(("option", "message"), [("--keep=3", "from 20"), ("--days=soon", "a number of days")])
def test_fewer_than_the_newest_twenty_cannot_be_kept(
    option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([option])
    assert message in capsys.readouterr().err


def test_old_suites_and_comparisons_go_with_their_runs(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [a_stored_run(store, f"s{number:02}")[1]["run_id"] for number in range(22)]
    suites = [f"20250101T0000{at:02}Z-suite.nightly-0000{at:02}" for at in range(22)]
    comparisons = [f"20250101T0000{at:02}Z-ab-function-0000{at:02}" for at in range(21)]
    for each, run_id in zip(suites, runs[:1] + runs[-1:] + [runs[0]] * 20, strict=True):
        a_stored_suite(store.outputs, each, [run_id])
    for each in comparisons:
        a_comparison(store.outputs, each)
    assert main(["--days", "0", "--dry-run"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"run {runs[0]}: would go",
        f"run {runs[1]}: would go",
        "20 runs as old stay: one of the newest 20",
        f"suite {suites[0]}: would go",
        "20 suites as old stay: one of the newest 20",
        "1 suite as old stays: it holds a run that stays",
        f"comparison {comparisons[0]}: would go",
        "20 comparisons as old stay: one of the newest 20",
        "2 runs, 1 suite, 1 comparison would go; summary.csv keeps the rows of runs",
    ]
    assert len(list((store.outputs / "suites").iterdir())) == 22
    assert main(["--days", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["removed"], found["suites"]["removed"]) == (runs[:2], suites[:1])
    assert found["suites"]["kept"][suites[1]] == "it holds a run that stays"
    assert found["comparisons"]["removed"] == comparisons[:1]
    assert sorted(path.name for path in (store.outputs / "suites").iterdir()) == suites[1:]
    assert sorted(path.name for path in (store.outputs / "ab").iterdir()) == comparisons[1:]
    assert not (store.outputs / ".pruned").exists()
