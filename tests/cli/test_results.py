import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.results import main
from harness.results.store import Store
from tests.results.documents import a_stored_run
from tests.results.test_recovery import orphaned


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("HARNESS_OUTPUTS", str(tmp_path / "outputs"))
    found = Store(tmp_path / "outputs")
    yield found
    found.close()


def listed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The ids that the verb prints, in their order."""
    assert main([*argv, "--json"]) == 0
    return [row["run_id"] for row in json.loads(capsys.readouterr().out)]


def test_runs_are_listed_newest_last_with_their_time_in_utc(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    _, first = a_stored_run(store)
    _, second = a_stored_run(store, "prefetch", run={"status": "failed", "reason": {"kind": "error", "message": "x"}})
    assert main([]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert "created (UTC)" in heading
    assert [row.split()[0] for row in rows] == [first["run_id"], second["run_id"]]
    assert first["created_at"][:19].replace("T", " ") in rows[0]
    assert "step.latency_ms p50 12 ms (n=10)" in rows[0]


def test_filters_reach_the_index(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    _, first = a_stored_run(store, run={"tags": ["a"]})
    _, second = a_stored_run(store, "prefetch", run={"status": "cancelled", "tags": ["b"], "model": "mlp"})
    everything = [first["run_id"], second["run_id"]]
    assert listed([], capsys) == everything
    assert listed(["--last", "1"], capsys) == everything[1:]
    assert listed(["--status", "completed"], capsys) == everything[:1]
    assert listed(["--status", "completed", "--status", "cancelled"], capsys) == everything
    assert listed(["--scenario", "prefetch"], capsys) == everything[1:]
    assert listed(["--model", "mlp"], capsys) == everything[1:]
    assert listed(["--tag", "a"], capsys) == everything[:1]
    assert listed(["--device", "cuda"], capsys) == []
    assert listed(["--from", "1h"], capsys) == everything
    assert listed(["--to", "1h"], capsys) == []
    assert listed(["--from", first["created_at"][:10], "--to", second["created_at"][:10]], capsys) == everything


def test_an_empty_store_says_where_it_looked(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == f"no run matches in {store.runs}\n"
    assert not store.outputs.exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--last", "0"], "should be a whole number from 1, found '0'"),
        (["--from", "yesterday"], "an age such as 3h or 2d"),
        (["--status", "done"], "invalid choice: 'done'"),
    ],
)
def test_a_wrong_option_says_what_is_right(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_listing_marks_dead_runs_and_says_so(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run = orphaned(store)
    assert main(["--status", "crashed"]) == 0
    captured = capsys.readouterr()
    assert run.run_id in captured.out
    assert f"{run.run_id} had lost its process and is now crashed, after 0 iterations" in captured.err


def test_the_index_is_read_anew_on_request(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    a_stored_run(store)
    assert main(["--rebuild", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "the index was read anew from 1 manifests\n"
    assert len(json.loads(captured.out)) == 1
