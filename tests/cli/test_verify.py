import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.verify import main
from harness.errors import NotFound
from harness.results.records import COMPARISON, Named
from harness.results.store import Store
from tests.results.documents import a_stored_run
from tests.results.stored_records import a_comparison, a_stored_suite, an_id, path_of


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("HARNESS_OUTPUTS", str(tmp_path))
    found = Store(tmp_path)
    yield found
    found.close()


def test_whole_runs_hold(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        a_stored_run(store)
    assert main(["--all"]) == 0
    assert capsys.readouterr().out.endswith("2 of 2 runs hold\n")
    assert main([]) == 0
    assert capsys.readouterr().out.endswith("1 of 1 runs hold\n")


def test_a_changed_number_is_a_mismatch(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    result, _ = a_stored_run(store)
    a_stored_run(store)
    path = store.runs / result["run_id"] / "result.json"
    path.write_text(path.read_text().replace("12.075", "11.075"))
    assert main(["--all"]) == 1
    out = capsys.readouterr().out
    assert f"{result['run_id']}: does not hold\n  result.json: its content does not have the digest" in out
    assert out.endswith("1 of 2 runs hold\n")
    assert main([result["run_id"]]) == 1


def test_names_and_all_together_are_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["last", "--all"])
    assert caught.value.code == 2
    assert "not both" in capsys.readouterr().err


def test_an_empty_store_holds_and_has_no_last_run(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--all"]) == 0
    assert capsys.readouterr().out == "0 of 0 runs hold\n"
    with pytest.raises(NotFound):
        main([])


def test_the_problems_are_told_as_json_too(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    result, _ = a_stored_run(store)
    (store.runs / result["run_id"] / "report.md").unlink()
    assert main(["--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["broken"] == 1
    assert found["runs"][result["run_id"]] == ["report.md: is listed in the manifest and missing"]


def test_all_is_runs_suites_and_comparisons_each_called_what_it_is(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    result, _ = a_stored_run(store)
    suite_id, ab_id = an_id(1, "suite.nightly-abab01"), an_id(1, "ab-function-abab02")
    a_stored_suite(store.outputs, suite_id, [result["run_id"], "gone"])
    a_comparison(store.outputs, ab_id)
    assert main(["--all"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"run {result['run_id']}: holds",
        f"suite {suite_id}: holds",
        "  note: gone, one of its runs, is no longer stored",
        f"comparison {ab_id}: holds",
        "1 of 1 runs, 1 of 1 suites, 1 of 1 comparisons hold",
    ]
    assert main([]) == 0
    assert capsys.readouterr().out.endswith("1 of 1 runs hold\n"), "last is the last run"
    path = path_of(store.outputs, Named(COMPARISON, ab_id))
    path.write_text("{")
    assert main(["abab01", "abab02", suite_id, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "harness.verify/1"
    assert (found["runs"], found["suites"], found["broken"]) == ({}, {suite_id: []}, 1)
    assert found["notes"] == {suite_id: ["gone, one of its runs, is no longer stored"]}
    assert found["comparisons"][ab_id][0].startswith("ab.json: cannot read ")
