"""A step that never returns is killed, a spare takes over the last good state, and training goes on bit for bit.

The envelope of latencies is left out here: it holds for a machine that does nothing else.
"""

import json

import psutil
import pytest

from harness.journal.lines import read_journal
from tests.command_line import CommandLine

pytestmark = pytest.mark.faults

SHORT = ("scenario=rollback", "scenario.step_process=true", "threshold=null",
         "measure.warmup=0", "measure.iterations=2", "scenario.step_deadline.at_least_ms=400")  # fmt: skip
# kind of the fault: how often a step's deadline is missed, and whether its process is replaced
KINDS = {
    "late_step": (1, True),
    "stuck_call": (1, True),
    "gil_loop": (1, True),
    "big_matmul": (1, True),
    "killed_worker": (0, True),
    "fork_bomb_refused": (0, False),
    "nan_loss": (0, False),
    "exception": (0, False),
}


def stats(result: dict, metric: str) -> dict:  # type: ignore[type-arg]
    found: dict = result["metrics"][metric]["statistics"]  # type: ignore[type-arg]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_is_survived_bit_for_bit(tmp_path, kind: str) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    done = user.run(*SHORT, f"scenario.fault.kind={kind}")
    assert done.returncode == 0, done.stdout + done.stderr
    result = user.result()
    missed, replaced = KINDS[kind]
    assert stats(result, "tolaria.step.deadline_exceeded_total")["min"] == missed
    assert stats(result, "tolaria.rollback.diverged_losses")["max"] == 0
    assert stats(result, "tolaria.rollback.identical_losses")["min"] > 0
    assert (
        stats(result, "tolaria.rollback.recovery_ms")["min"]
        > stats(result, "tolaria.rollback.restore_latency_ms")["min"]
    )
    ended = [event for event in events(user) if event["event"] == "tolaria.step.process_ended"]
    if kind != "late_step":  # it returns just after its deadline, at times before it could be killed for it
        assert len(ended) == (2 if replaced else 0)
    assert len({event["pid"] for event in ended}) == len(ended)
    assert not [event for event in ended if psutil.pid_exists(event["pid"])]
    for event in events(user):
        if event["event"] == "tolaria.rollback.restored":
            assert event["hash_restored"] != event["hash_bad"]
    user.await_no_survivors()


def events(user: CommandLine) -> list[dict]:  # type: ignore[type-arg]
    return read_journal(user.folders()[-1] / "events.jsonl")[0]


@pytest.mark.parametrize("model", ["mlp", "transformer"])
def test_every_fault_is_survived_from_each_tier(tmp_path, model: str) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    done = user.run(
        "scenario=rollback_faults", f"model={model}", "threshold=null", "scenario.step_deadline.at_least_ms=400"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = user.result()
    assert result["iterations"]["completed"] == 3 * len(KINDS)
    for metric, value in (("rollback.restores_total", 1), ("rollback.diverged_losses", 0)):
        assert stats(result, f"tolaria.{metric}")["min"] == stats(result, f"tolaria.{metric}")["max"] == value
    assert stats(result, "tolaria.step.deadline_unexpected_total")["max"] == 0
    assert stats(result, "tolaria.rollback.fast_hits_total")["sum"] == 2 * len(KINDS)
    assert stats(result, "tolaria.rollback.full_hits_total")["sum"] == len(KINDS)
    tiers = {event["tier"] for event in events(user) if event["event"] == "tolaria.rollback.restored"}
    assert tiers == {"memory", "disk"}
    assert not (user.folders()[-1] / "checkpoints").exists()


def test_where_memory_has_no_room_the_disk_serves(tmp_path) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    done = user.run("scenario=rollback", "threshold=null", "measure.iterations=2", "measure.warmup=0",
                    "scenario.snapshots.cap_mb=0.001")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert stats(user.result(), "tolaria.rollback.fast_misses_total")["min"] == 1
    assert stats(user.result(), "tolaria.rollback.full_hits_total")["min"] == 1
    assert stats(user.result(), "tolaria.rollback.diverged_losses")["max"] == 0


def test_a_disk_that_is_too_late_halts_and_counts_once(tmp_path) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    done = user.run("scenario=rollback_deadline", "scenario.tiers=[disk]", "scenario.restore.deadline_ms=0.05",
                    "threshold=null", "measure.iterations=2", "measure.warmup=0")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert stats(user.result(), "tolaria.rollback.deadline_exceeded_total")["max"] == 1
    assert stats(user.result(), "tolaria.rollback.deadline_exceeded_total")["min"] == 1
    assert user.result()["events"]["tolaria.emergency.halt"] == 2


def test_the_latency_of_a_killed_step_is_kept_as_censored(tmp_path) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    user.run(*SHORT, "scenario.fault.kind=gil_loop", "measure.iterations=1")
    result = user.result()
    assert stats(result, "tolaria.step.censored_latency_ms")["min"] >= 400


def test_a_fault_that_does_not_return_needs_a_step_process(tmp_path) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    done = user.run("scenario=rollback", "scenario.fault.kind=stuck_call")
    assert done.returncode == 2
    assert "needs a step process" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_restore_that_misses_its_deadline_halts_once(tmp_path) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    done = user.run("scenario=rollback_deadline", "measure.iterations=2", "measure.warmup=0")
    assert done.returncode == 0, done.stdout + done.stderr
    result = user.result()
    assert stats(result, "tolaria.rollback.deadline_exceeded_total")["min"] == 1
    assert result["events"]["tolaria.emergency.halt"] == 2
    assert json.dumps(result["verdict"]).count('"pass"') >= 5


def test_the_same_restore_within_its_deadline_turns_that_scenario_red(tmp_path) -> None:  # type: ignore[no-untyped-def]
    user = CommandLine(tmp_path / "outputs")
    done = user.run(
        "scenario=rollback_deadline", "scenario.restore.deadline_ms=60000", "measure.iterations=1", "measure.warmup=0"
    )
    assert done.returncode == 1
    assert user.result()["verdict"]["level"] == "fail"
