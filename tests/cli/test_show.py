import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.show import main
from harness.errors import NotFound
from harness.results import baseline
from harness.results.store import Store
from tests.results.documents import a_result, a_run, a_stored_run


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
    with pytest.raises(NotFound, match="no run 'nothing'"):
        main(["nothing"])
