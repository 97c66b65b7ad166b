"""The log of a real run: each event at the level of its weight, all of them under the run's own trace id."""

from pathlib import Path
from typing import Any

import pytest

from harness.journal.lines import read_journal
from tests.command_line import CommandLine

OWN_LEVEL = {
    "run.started": "info",
    "run.finished": "info",
    "work.urgent": "critical",
    "work.check_failed": "warning",
    "iteration.failed": "warning",
}
USUAL = {"run.expected", "environment.captured", "environment.described", "phase.started", "run.progress"}
USUAL |= {"work.plain", "work.odd", "metric.measured"}


@pytest.fixture
def user(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "outputs", Path(__file__).parent / "conf")


def events_of(user: CommandLine) -> list[dict[str, Any]]:
    events, broken = read_journal(user.folders()[-1] / "events.jsonl")
    assert broken == 0
    return events


def test_the_start_and_the_end_are_info_errors_are_warnings_and_the_rest_is_for_debugging(user: CommandLine) -> None:
    assert user.run("scenario=telling", "scenario.fails_at=1").returncode == 0
    events = events_of(user)
    names = {event["event"] for event in events}
    assert names >= {*OWN_LEVEL, *USUAL}
    found = {(event["event"], event["level"]) for event in events}
    assert found == {(name, OWN_LEVEL.get(name, "debug")) for name in names}


def test_the_log_holds_each_metric_as_the_result_does(user: CommandLine) -> None:
    user.run("scenario=telling")
    told = {event["metric"]: event for event in events_of(user) if event["event"] == "metric.measured"}
    metrics = user.result()["metrics"]
    assert told.keys() == metrics.keys() != set()
    for name, metric in metrics.items():
        assert told[name]["unit"] == metric["unit"]
        assert {key: told[name][key] for key in ("n", "mean", "p50")} == {
            key: metric["statistics"][key] for key in ("n", "mean", "p50")
        }


def test_the_end_of_a_failed_run_is_an_error(user: CommandLine) -> None:
    assert user.run("scenario=telling", "scenario.fails_at=-2").returncode == 3
    last = events_of(user)[-1]
    assert (last["event"], last["level"], last["status"]) == ("run.finished", "error", "failed")


def test_all_events_of_a_run_carry_the_trace_id_of_its_result_and_no_other_run_has_it(user: CommandLine) -> None:
    traces = []
    for _ in range(2):
        user.run("scenario=telling")
        (trace,) = {event["trace_id"] for event in events_of(user)}
        assert trace == user.result()["trace_id"]
        traces.append(trace)
    assert traces[0] != traces[1]
