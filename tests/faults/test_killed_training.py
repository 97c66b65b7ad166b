"""Kill -9 during checkpoint, restore and adoption, two hundred times: the state is never torn, nothing good is lost."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.journal.lines import read_journal
from harness.process.launcher import Launcher
from tests.command_line import CommandLine

pytestmark = [pytest.mark.faults, pytest.mark.timeout(560)]

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 200  # over all victims and tiers
PRELOAD = ["torch", "torch._dynamo", "numpy", "tests.faults.doomed_training"]


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    with Launcher() as made:
        yield made


def run(launcher: Launcher, entry: str = "train", **order: Any) -> dict[str, Any] | None:
    """What the worker answers, None where it was killed."""
    worker = launcher.spawn(f"tests.faults.doomed_training:{entry}", preload=PRELOAD, path=[str(ROOT)])
    worker.control.setblocking(True)
    worker.send(order)
    data = b""
    while piece := worker.control.recv(1 << 20):
        data += piece
    said = b""
    while piece := worker.output.recv(1 << 16):
        said += piece
    while worker.exit is None:
        assert launcher.collect(block=True) or worker.exit is not None
    worker.close()
    if not data:
        assert worker.exit is not None
        assert worker.exit.signal == 9, said.decode()
        return None
    return dict(json.loads(data))


TIERS = [["memory", "disk"], ["disk"]]
EACH = TRIALS // (2 * len(TIERS))


def fatal_moments(launcher: Launcher, folder: Path, tiers: list[str]) -> list[int]:
    """Moments spread evenly over an undisturbed course of the same training."""
    calm = run(launcher, folder=str(folder), fatal=0, victim="worker", tiers=tiers, resume=False)
    assert calm is not None
    assert calm["identical"]
    assert calm["restored"] == 1
    kinds = set(calm["moments"])
    assert {"before activate", "after adopt", "create", "write", "publish"} <= kinds
    assert ("before load" in kinds) == (tiers == ["disk"])
    count = len(calm["moments"])
    return [1 + number * (count - 1) // EACH for number in range(EACH)]


@pytest.mark.parametrize("tiers", TIERS, ids=["both tiers", "disk alone"])
def test_after_the_death_of_the_worker_the_next_one_goes_on_from_the_last_good_state(
    launcher: Launcher, tmp_path: Path, tiers: list[str]
) -> None:
    resumed = 0
    for fatal in fatal_moments(launcher, tmp_path / "calm", tiers):
        folder = str(tmp_path / str(fatal))
        answer = run(launcher, folder=folder, fatal=fatal, victim="worker", tiers=tiers, resume=False)
        assert answer is None or fatal > len(answer["moments"])
        after = run(launcher, folder=folder, fatal=0, victim="worker", tiers=tiers, resume=True)
        assert after is not None
        resumed += len(after["resumed"])
        for event in after["resumed"]:
            assert event["identical_losses"] == event["of"]
    assert resumed > EACH / 2


@pytest.mark.parametrize("tiers", TIERS, ids=["both tiers", "disk alone"])
def test_after_the_death_of_the_step_process_the_same_training_goes_on_bit_for_bit(
    launcher: Launcher, tmp_path: Path, tiers: list[str]
) -> None:
    died = 0
    for fatal in fatal_moments(launcher, tmp_path / "calm", tiers):
        folder = str(tmp_path / str(fatal))
        answer = run(launcher, folder=folder, fatal=fatal, victim="step process", tiers=tiers, resume=False)
        assert answer is not None
        assert answer["identical"], (fatal, answer)
        assert answer["restored"] >= 1
        died += answer["ended"] + (answer["restored"] > 1)
    assert died > EACH / 2


def test_a_spare_that_dies_while_it_is_built_is_replaced(launcher: Launcher) -> None:
    answer = run(launcher, "lose_spares", deaths=1)
    assert answer is not None
    assert len(answer["killed"]) == 1
    assert answer["loss"] > 0


def test_spares_that_all_die_while_they_are_built_end_the_restore_with_their_number(launcher: Launcher) -> None:
    answer = run(launcher, "lose_spares", deaths=1000)
    assert answer is not None
    assert "ended while they were built" in answer["failed"]
    assert len(answer["killed"]) < 10


LONG = ("scenario=rollback", "scenario.step_process=true", "threshold=null", "scenario.tiers=[disk]",
        "scenario.checkpoints.every=2", "scenario.fault.kind=exception",
        "scenario.restore.deadline_ms=60000")  # fmt: skip


def events(user: CommandLine, run: int = -1) -> list[dict[str, Any]]:
    folders = user.folders()
    path = folders[run] / "events.jsonl" if folders else None
    return read_journal(path)[0] if path is not None and path.exists() else []


@pytest.mark.parametrize("committed", [1, 3, 7, 12])
def test_after_the_death_of_the_supervisor_the_next_run_goes_on_from_the_last_good_state(
    tmp_path: Path, committed: int
) -> None:
    user = CommandLine(tmp_path / "outputs")
    words = (*LONG, f"scenario.checkpoint_folder={tmp_path / 'kept'}")
    process = user.start(*user.words(*words, "measure.iterations=100000"))
    while sum(event["event"] == "tolaria.checkpoint.committed" for event in events(user)) < committed:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    user.await_no_survivors()
    after = user.run(*words, "measure.warmup=0", "measure.iterations=1")
    assert after.returncode == 0, after.stdout + after.stderr
    said = [event for event in events(user) if event["event"].startswith("tolaria.rollback.resumed")]
    nothing = [event for event in events(user) if event["event"] == "tolaria.rollback.nothing_to_resume"]
    assert len(said) + len(nothing) == 1
    assert all(event["identical_losses"] == event["of"] for event in said)
    assert said or committed == 1
