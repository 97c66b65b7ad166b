import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.show import main
from harness.errors import NotFound, RefusedError, StoreLost
from harness.report.ab import ab_report
from harness.results import baseline
from harness.results.records import COMPARISON, Named
from harness.results.store import Store
from tests.results.documents import a_result, a_run, a_stored_run
from tests.results.stored_records import a_comparison, a_stored_suite, an_id, path_of


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("HARNESS_OUTPUTS", str(tmp_path / "outputs"))
    (tmp_path / "baselines").mkdir()
    monkeypatch.chdir(tmp_path)
    found = Store(tmp_path / "outputs")
    yield found
    found.close()


def test_the_last_run_is_shown_with_its_report(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    _, manifest = a_stored_run(store)
    assert main([]) == 0
    text = capsys.readouterr().out
    assert f"run      {manifest['run_id']}" in text
    assert f"by       {manifest['user']} on {manifest['host']}" in text
    assert "created  " in text
    assert " UTC\n" in text
    assert "# rollback on cpu: none" in text
    assert "No baseline for rollback on cpu." in text
    assert text.endswith(f"files: {store.runs / manifest['run_id']}\n")


def test_as_json_it_is_the_result_document(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    result, _ = a_stored_run(store)
    a_stored_run(store)
    assert main([result["run_id"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result


def test_a_run_without_a_result_shows_why(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run(store)
    store.close_run(run.run_id, "skipped", exit_code=0, reason={"kind": "skipped", "message": "needs compile=eager"})
    assert main(["last"]) == 0
    assert "No result: the run is skipped. skipped: needs compile=eager." in capsys.readouterr().out
    assert main(["last", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "skipped"


def test_a_missing_report_is_made_again(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    result, _ = a_stored_run(store)
    (store.runs / result["run_id"] / "report.md").unlink()
    assert main([]) == 0
    assert "## Metrics" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("host", "text"), [("bench-1", "the same host"), ("bench-2", "another host (bench-2), so not comparable")]
)
def test_a_baseline_is_shown_beside_the_run(
    host: str, text: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"hostname": host, "fingerprint": "0f1e2d3c4b5a6978" if host == "bench-1" else "another"}
    kept = a_result({"run_id": "kept"}, {"step.latency_ms": [10.0, 10.0, 10.0]}, environment=facts)
    baseline.save(kept, Path("baselines"))
    a_stored_run(store)
    assert main([]) == 0
    out = capsys.readouterr().out
    assert f"Baseline kept, {text}; for information, not a verdict:" in out
    assert out.split("baseline p50")[1].split()[1:6] == ["step.latency_ms", "ms", "12", "10", "+20.0"]


def test_an_unknown_run_is_named(store: Store) -> None:
    a_stored_run(store)
    with pytest.raises(NotFound, match="no run, suite or comparison 'nothing'"):
        main(["nothing"])


def test_a_suite_is_shown_with_the_table_that_it_ended_with(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    result, _ = a_stored_run(store)
    suite_id = an_id(1, "suite.nightly-abab01")
    document = a_stored_suite(store.outputs, suite_id, [result["run_id"]])
    for text in (suite_id, suite_id[:12], "abab01"):
        assert main([text]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"suite    {suite_id}\nstatus   completed, exit code 0\ncreated  ")
        assert "command  harness suite=nightly\n" in out
        assert "nightly: 1 job: 1 none" in out
        assert out.endswith(f"files: {store.outputs / 'suites' / suite_id}\n")
    assert main([suite_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document


def test_a_suite_whose_run_was_pruned_is_told_from_its_record(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    a_stored_suite(store.outputs, an_id(1, "suite.nightly-abab01"), ["gone"])
    assert main(["abab01"]) == 0
    out = capsys.readouterr().out
    assert "step.latency_ms p50 12 ms (n=10)" in out
    assert "no longer stored, and told from the suite's record alone: gone\n" in out


def test_a_comparison_is_shown_as_it_was_printed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    a_stored_run(store)
    ab_id = an_id(1, "ab-function-abab02")
    document = a_comparison(store.outputs, ab_id)
    assert main(["abab02"]) == 0
    folder = store.outputs / "ab" / ab_id
    assert capsys.readouterr().out == f"{ab_report(document, 'simple')}\nfiles: {folder}\n"
    assert main([ab_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert main(["last"]) == 0
    assert capsys.readouterr().out.startswith("run "), "the last run, though a comparison is newer"


def test_a_comparison_without_a_report_and_a_changed_one_are_refused_in_one_line(store: Store) -> None:
    ab_id = an_id(1, "ab-function-abab02")
    a_comparison(store.outputs, ab_id)
    path = path_of(store.outputs, Named(COMPARISON, ab_id))
    path.write_text(path.read_text().replace('"level": "same"', '"level": "faster"'))
    with pytest.raises(StoreLost, match="is not what was stored"):
        main([ab_id])
    path.unlink()
    (path.parent / "report.md").unlink()
    (path.parent / "arms").mkdir()
    with pytest.raises(RefusedError, match="it still runs, or was cut short"):
        main([ab_id])


def test_words_that_mean_a_run_and_a_suite_are_refused_with_both(store: Store) -> None:
    result, _ = a_stored_run(store)
    suite_id = an_id(1, "suite.nightly-abab01")
    a_stored_suite(store.outputs, suite_id)
    with pytest.raises(NotFound, match="more than one run or suite is meant by '20'") as refused:
        main(["20"])
    assert refused.value.hint == f"one of: {result['run_id']}, {suite_id}"
