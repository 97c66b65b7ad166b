"""Seeds, places and threads reach the measured process, and one configuration gives one outcome in every command."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import CommandLine
from tests.engine.telling import VARIABLES

TRAINING = ["scenario=rollback", "model=linear", "data.rows=256", "data.held_out=32", "data.features=8"]
TRAINING += ["scenario.epochs=1", "scenario.steps=6", "scenario.fault.epoch=1", "scenario.fault.step=4"]
TRAINING += ["scenario.tiers=[memory]", "scenario.step_deadline.at_least_ms=250", "measure.warmup=0"]


@pytest.fixture
def user(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "outputs")


def test_two_commands_train_alike_and_another_seed_trains_otherwise(user: CommandLine) -> None:
    outcomes = []
    for seed in (7, 7, 8):
        done = user.run(*TRAINING, "deterministic=true", "measure.iterations=1", f"seed={seed}")
        result = user.result()
        assert (result["status"], result["config"]["deterministic"]) == ("completed", True), done.stderr
        assert result["metrics"]["tolaria.rollback.restores_total"]["samples"] == [1]
        outcomes.append(result["digests"]["outcome"])
    assert None not in outcomes
    assert outcomes[0] == outcomes[1] != outcomes[2]


def placed(user: CommandLine, *overrides: str) -> Any:
    """What the measured process says of its place."""
    told = user.outputs.parent / "told.json"
    words = ["scenario=function", "scenario.function=tests.engine.telling:placement", "measure.warmup=0"]
    arguments = f"scenario.arguments={{path: {told}}}"
    done = user.run(*words, arguments, "measure.iterations=1", *overrides)
    assert done.returncode == 0, done.stderr
    return json.loads(told.read_text())


@pytest.mark.parametrize(
    ("threads", "preload"),  # torch takes no more than there are CPUs from the environment, and any number when asked
    [(1, "[]"), (3, "[torch]")],
    ids=["torch loaded by the work", "torch loaded before the fork"],
)
def test_threads_cpus_and_priority_reach_the_measured_process(user: CommandLine, threads: int, preload: str) -> None:
    cpu, nice = max(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0)
    place = (f"affinity.threads={threads}", f"affinity.cpus=[{cpu}]", "affinity.nice=5")
    assert placed(user, *place, f"worker.preload={preload}") == {
        "cpus": [cpu],
        "nice": min(nice + 5, 19),
        "variables": dict.fromkeys(VARIABLES, str(threads)),
        "torch_threads": threads,
        "torch_was_loaded": preload == "[torch]",
    }


def test_what_is_left_to_the_environment_stays_as_it_is(user: CommandLine) -> None:
    user.environment |= {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "4"}
    told = placed(user, "affinity=inherited")
    assert told["variables"] == {**dict.fromkeys(VARIABLES, "2"), "OPENBLAS_NUM_THREADS": "4"}
    assert told["cpus"] == sorted(os.sched_getaffinity(0))
    assert told["nice"] == os.getpriority(os.PRIO_PROCESS, 0)
