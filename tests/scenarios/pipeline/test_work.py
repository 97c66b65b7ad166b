"""The command of a step runs with its folders at hand, is recorded, and says why it failed."""

import os
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BenchmarkFailed
from harness.scenarios.pipeline.step import Step
from harness.scenarios.pipeline.work import CommandWork
from tests.scenarios.contexts import by_hand


def a_step(tmp_path: Path, **metrics: Any) -> Step:
    hand = by_hand(tmp_path, **metrics)
    (tmp_path / "only").mkdir()
    return Step("only", tmp_path / "only", 7, {}, hand.context)


def test_a_command_finds_its_folder_and_its_seed(tmp_path: Path) -> None:
    step = a_step(tmp_path)
    CommandWork('echo "$HARNESS_SEED" > "$HARNESS_STEP_FOLDER/seed"; ls "$HARNESS_STEPS_FOLDER"')(step)
    assert (step.folder / "seed").read_text() == "7\n"
    assert "only" in (step.folder / "output.txt").read_text()


def test_a_list_runs_without_a_shell(tmp_path: Path) -> None:
    step = a_step(tmp_path)
    CommandWork(["echo", "$HOME"])(step)
    assert (step.folder / "output.txt").read_text() == "$HOME\n"


def test_declared_numbers_that_it_prints_are_recorded(tmp_path: Path) -> None:
    step = a_step(tmp_path, rate={"unit": "1/s"})
    CommandWork("""echo '{"rate": 12.5}'""")(step)
    assert step.recorded == [("rate", 12.5)]


def test_a_command_that_fails_says_its_code_and_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="'only' exited with 3") as raised:
        CommandWork("echo no such luck >&2; exit 3")(a_step(tmp_path))
    assert "no such luck" in raised.value.hint


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="cannot start /no/such/program"):
        CommandWork(["/no/such/program"])(a_step(tmp_path))


def test_secrets_are_taken_out_of_what_is_kept_of_its_output(tmp_path: Path) -> None:
    step = a_step(tmp_path)
    step.context.redact = lambda text: text.replace("hunter2", "***")
    CommandWork("echo the password is hunter2")(step)
    assert (step.folder / "output.txt").read_text() == "the password is ***\n"


def test_it_leaves_no_descriptor_open(tmp_path: Path) -> None:
    step = a_step(tmp_path)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    CommandWork("true")(step)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
