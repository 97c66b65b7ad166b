import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.results import main
from harness.results.records import COMPARISON, Named
from harness.results.store import Store
from tests.results.documents import a_stored_run
from tests.results.stored_records import a_comparison, a_stored_suite, an_id, path_of
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


def test_suites_and_comparisons_are_listed_newest_last(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    suites = [an_id(days, f"suite.nightly-00000{days}") for days in (2, 1)]
    comparisons = [an_id(days, f"ab-function-00000{days}") for days in (3, 2)]
    for each in suites:
        a_stored_suite(store.outputs, each)
    for each in comparisons:
        a_comparison(store.outputs, each)
    for option, key, made in (("--suites", "suite_id", suites), ("--ab", "ab_id", comparisons)):
        assert main([option]) == 0
        heading, *rows = capsys.readouterr().out.splitlines()
        assert "created (UTC)" in heading
        assert [row.split()[0] for row in rows] == made
        for words, expected in (
            (["--last", "1"], made[1:]),
            (["--from", "2027-05-30", "--to", "2027-05-31T12:00"], made[option == "--ab" :]),
            (["--to", "2027-05-29"], made[: option == "--ab"]),
        ):
            assert main([option, "--json", *words]) == 0
            assert [row[key] for row in json.loads(capsys.readouterr().out)] == expected


@pytest.mark.parametrize(("option", "room"), [("--suites", "suites"), ("--ab", "ab")])
def test_none_of_a_kind_says_where_it_looked(
    option: str, room: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([option]) == 0
    assert capsys.readouterr().out.endswith(f"matches in {store.outputs / room}\n")
    assert main([option, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--suites", "--tag", "x"], "--tag: only for runs; --suites goes with --last, --from, --to and --json"),
        (["--ab", "--status", "failed", "--pinned"], "--status, --pinned: only for runs; --ab goes with"),
        (["--ab", "--rebuild"], "--rebuild: only for runs"),
        (["--ab", "--suites"], "not allowed with argument"),
    ],
)
def test_options_that_only_runs_have_are_refused(
    argv: list[str], message: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_damaged_comparison_is_listed_with_the_way_to_find_out(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    ab_id = an_id(1, "ab-function-000001")
    a_comparison(store.outputs, ab_id)
    path_of(store.outputs, Named(COMPARISON, ab_id)).write_text('{"schema": "harness.ab/1"}')
    assert main(["--ab"]) == 0
    assert f"`python -m harness verify {ab_id}` says what is wrong" in capsys.readouterr().out
