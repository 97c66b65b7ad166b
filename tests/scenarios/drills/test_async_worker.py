"""The executor's drill counts what really happened, and a broken executor turns it red."""

import json

import pytest

from tests.command_line import CommandLine

SMALL = ("scenario=async_worker", "scenario.calls=8", "scenario.stuck=2", "scenario.restarts=1", "scenario.storm=10",
         "measure.warmup=0", "measure.iterations=2")  # fmt: skip


@pytest.mark.faults
def test_the_drill_accounts_for_every_call_and_leaves_nothing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    done = user.run(*SMALL)
    result = user.result()
    assert result["status"] == "completed", done.stderr
    totals = {name: metric["statistics"]["max"] for name, metric in result["metrics"].items()}
    assert totals["async_worker.unaccounted_total"] == 0
    assert totals["async_worker.leaked"] == 0
    assert totals["async_worker.failed_total"] == 2
    assert totals["async_worker.cancelled_total"] == 8
    assert totals["async_worker.timed_out_total"] >= 2
    assert result["metrics"]["async_worker.censored_latency_ms"]["statistics"]["min"] > 0
    user.await_no_survivors()


def test_a_knob_runs_the_calls_in_line_where_no_process_can_be_had(tmp_path) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    done = user.run(*SMALL, "scenario.executor=inline", "worker.start=portable")
    result = user.result()
    assert (result["status"], result["iterations"]["failed"]) == ("completed", 0), done.stderr
    assert result["verdict"]["level"] != "fail"
    totals = {name: metric["statistics"]["min"] for name, metric in result["metrics"].items()}
    assert totals["async_worker.unaccounted_total"] == totals["async_worker.leaked"] == 0
    assert totals["async_worker.failed_total"] == 2
    assert totals["async_worker.timed_out_total"] >= 2
    assert totals["async_worker.cancelled_total"] == 0
    assert totals["async_worker.submitted_total"] == 1 + 8 + 2 * 2 + 2 + 10 + 1
    assert result["events"]["async_worker.left_out"] == 1
    user.await_no_survivors()


@pytest.mark.faults
def test_without_a_zygote_the_drill_says_what_it_needs(tmp_path) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    done = user.run(*SMALL, "worker.start=portable")
    assert done.returncode == 3
    assert "scenario.executor=inline" in json.dumps(user.result()["errors"])
