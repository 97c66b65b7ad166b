"""Whatever the measured work does, the run ends with a recorded outcome and the right exit code."""

import json
import signal
import time
from pathlib import Path

import pytest

from harness.measure.samples import HEADER_BYTES, Phase, SampleFile
from harness.results.schema import validate
from tests.command_line import CommandLine

pytestmark = pytest.mark.faults


def test_an_error_in_one_iteration_is_recorded_and_the_others_are_measured(user: CommandLine) -> None:
    done = user.run("scenario=faulty")
    result = user.result()
    assert done.returncode == 0
    assert result["status"] == "completed"
    assert result["iterations"] == {"warmup": 0, "planned": 10, "completed": 10, "failed": 1, "error_rate": 0.1}
    assert result["metrics"]["iteration.duration_ms"]["samples_total"] == 9
    assert result["verdict"]["level"] == "warn"
    assert [error["message"] for error in result["errors"]] == ["the work broke"]
    assert "RuntimeError" in done.stderr


def test_an_error_in_every_iteration_is_a_failed_run(user: CommandLine) -> None:
    done = user.run("scenario=faulty", "scenario.at=-1")
    result = user.result()
    assert done.returncode == 3
    assert (result["status"], result["reason"]["kind"]) == ("failed", "error")
    assert result["metrics"] == {}


def test_a_call_of_exit_ends_the_iteration_and_not_the_run(user: CommandLine) -> None:
    assert user.run("scenario=faulty", "scenario.kind=raises_system_exit").returncode == 0
    assert user.result()["errors"][0]["type"] == "SystemExit"


def test_work_that_has_no_memory_in_any_iteration_is_out_of_memory(user: CommandLine) -> None:
    assert user.run("scenario=faulty", "scenario.at=-1", "scenario.kind=has_no_memory").returncode == 3
    assert user.result()["reason"]["kind"] == "out_of_memory"


def test_a_nan_is_never_a_sample(user: CommandLine) -> None:
    done = user.run("scenario=faulty", "scenario.kind=returns_nan")
    result = user.result()
    assert done.returncode == 0
    assert result["iterations"]["failed"] == 1
    assert "work.result is nan" in result["errors"][0]["message"]
    assert result["verdict"]["level"] == "warn"


@pytest.mark.parametrize(
    ("kind", "said"),
    [("returns_text", "iterate returned str"), ("records_undeclared", "did you mean 'work.result'?")],
)
def test_what_is_no_metric_is_an_error_that_says_what_to_do(user: CommandLine, kind: str, said: str) -> None:
    user.run("scenario=faulty", f"scenario.kind={kind}")
    result = user.result()
    assert result["iterations"]["failed"] == 1
    assert said in json.dumps(result["errors"], ensure_ascii=False)


def test_garbage_on_the_output_neither_breaks_nor_fools_the_run(user: CommandLine) -> None:
    done = user.run("scenario=faulty", "scenario.kind=prints_garbage")
    assert done.returncode == 0
    assert user.result()["iterations"]["completed"] == 10
    assert (user.folders()[-1] / "worker.log").stat().st_size > 10_000


def test_children_that_outlive_the_work_are_ended_and_told(user: CommandLine) -> None:
    done = user.run("scenario=faulty", "scenario.kind=leaves_children")
    assert done.returncode == 0
    result = user.result()
    assert result["process"]["leftover_processes"] == 2
    assert any("left 2 processes behind" in warning for warning in result["warnings"])
    user.await_no_survivors()


@pytest.mark.parametrize(
    ("kind", "reason", "said"),
    [
        ("exits", "lost", "exit code 9"),
        ("is_killed", "lost", "SIGKILL"),
        ("segfaults", "lost", "SIGSEGV"),
    ],
)
def test_a_worker_that_ends_is_a_failed_run_with_its_samples(
    user: CommandLine, kind: str, reason: str, said: str
) -> None:
    done = user.run("scenario=faulty", f"scenario.kind={kind}")
    result = user.result()
    assert done.returncode == 3
    assert (result["status"], result["reason"]["kind"]) == ("failed", reason)
    assert said in result["reason"]["message"]
    assert result["metrics"]["iteration.duration_ms"]["samples_total"] == 3
    user.await_no_survivors()


def test_work_that_eats_memory_is_ended_at_the_limit(user: CommandLine) -> None:
    done = user.run("scenario=faulty", "scenario.kind=eats_memory", "limits.memory_mb=400")
    result = user.result()
    assert done.returncode == 3
    assert result["reason"]["kind"] == "out_of_memory"
    assert "limits.memory_mb=400" in result["reason"]["message"]
    assert result["iterations"]["completed"] == 3


@pytest.mark.parametrize("kind", ["never_returns", "never_returns_and_is_deaf"])
def test_work_that_never_returns_is_ended_at_the_time_limit(user: CommandLine, kind: str) -> None:
    done = user.run("scenario=faulty", f"scenario.kind={kind}", "measure.timeout_s=3")
    result = user.result()
    assert done.returncode == 3
    assert (result["status"], result["reason"]["kind"]) == ("failed", "timeout")
    assert result["metrics"]["iteration.duration_ms"]["samples_total"] == 3
    user.await_no_survivors()


@pytest.mark.parametrize("kind", ["raises", "exits", "never_returns"])
def test_a_fault_in_setup_is_an_outcome_too(user: CommandLine, kind: str) -> None:
    done = user.run("scenario=faulty", "scenario.at=-2", f"scenario.kind={kind}", "measure.timeout_s=3")
    assert done.returncode == 3
    result = user.result()
    assert result["status"] == "failed"
    assert result["iterations"]["completed"] == 0
    assert validate(result, "result") == []


def test_a_scenario_whose_import_fails_is_refused_with_the_reason(user: CommandLine) -> None:
    done = user.run("scenario=broken_import")
    assert done.returncode == 2
    assert "a_library_that_is_not_installed" in done.stderr
    assert "Traceback" not in done.stderr
    assert user.folders() == []


def test_a_faulty_job_never_stops_a_sweep(user: CommandLine) -> None:
    done = user.run("-m", "scenario=faulty", "scenario.kind=exits,is_killed,raises,leaves_children", "scenario.at=1")
    assert done.returncode == 3
    statuses = [json.loads((folder / "manifest.json").read_bytes())["status"] for folder in user.folders()]
    assert statuses == ["failed", "failed", "completed", "completed"]
    assert done.stdout.count("faulty") >= 4


@pytest.mark.parametrize("start", ["fresh", "portable"])
def test_other_ways_to_start_a_worker_give_the_same_outcomes(user: CommandLine, start: str) -> None:
    assert user.run("scenario=faulty", f"worker.start={start}").returncode == 0
    assert user.result()["iterations"]["failed"] == 1
    assert user.run("scenario=faulty", f"worker.start={start}", "scenario.kind=exits").returncode == 3
    assert user.result()["reason"]["kind"] == "lost"
    hang = ["scenario.kind=never_returns_and_is_deaf", "measure.timeout_s=3"]
    assert user.run("scenario=faulty", f"worker.start={start}", *hang).returncode == 3
    assert user.result()["reason"]["kind"] == "timeout"
    user.await_no_survivors()


@pytest.mark.parametrize(
    ("number", "arguments", "completed"),
    [
        (signal.SIGINT, ["scenario=faulty", "scenario.at=-2", "scenario.kind=never_returns"], 0),
        (signal.SIGTERM, ["scenario=faulty", "scenario.at=0", "scenario.kind=never_returns", "measure.warmup=5"], 0),
        (signal.SIGINT, ["scenario=faulty", "scenario.at=3", "scenario.kind=never_returns"], 3),
        (signal.SIGTERM, ["scenario=faulty", "scenario.at=3", "scenario.kind=never_returns"], 3),
        (signal.SIGINT, ["scenario=faulty", "scenario.at=3", "scenario.kind=never_returns_and_is_deaf"], 3),
        (signal.SIGTERM, ["scenario=faulty", "scenario.at=3", "scenario.kind=never_returns_and_is_deaf"], 3),
        (signal.SIGINT, ["scenario=steady", "measure.iterations=100000000"], None),
        (signal.SIGTERM, ["scenario=steady", "measure.iterations=100000000"], None),
    ],
)
def test_a_cancel_keeps_what_was_measured_and_leaves_no_process(
    user: CommandLine, number: signal.Signals, arguments: list[str], completed: int | None
) -> None:
    process = user.start(*user.words(*arguments))
    while not (_measures(user) if completed is None else _hangs(user)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)  # between two looks
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    result = user.result()
    assert result["status"] == "cancelled"
    assert result["exit_code"] == 130
    kept = result["metrics"].get("iteration.duration_ms", {"samples_total": 0, "samples": []})
    assert kept["samples_total"] == result["iterations"]["completed"]
    assert len(kept["samples"]) == min(kept["samples_total"], 10_000)
    assert kept["samples_total"] == completed if completed is not None else kept["samples_total"] > 0
    user.await_no_survivors()


def _hangs(user: CommandLine) -> bool:
    """Whether the work has said that it will not come back."""
    journals = [folder / "events.jsonl" for folder in user.folders()]
    return any(b"workload.hanging" in journal.read_bytes() for journal in journals if journal.exists())


def _measures(user: CommandLine) -> bool:
    """Whether an iteration that counts has come to its end, as the header of the sample file tells."""
    for path in (folder / "samples.bin" for folder in user.folders()):
        if path.exists() and path.stat().st_size > HEADER_BYTES:
            samples = SampleFile(path)
            try:
                return samples.phase == Phase.MEASURE and samples.completed > 0
            finally:
                samples.close()
    return False


def test_a_cancel_while_the_report_is_written_keeps_the_whole_result(user: CommandLine) -> None:
    process = user.start(*user.words("scenario=steady"))
    assert process.stderr is not None
    for line in process.stderr:
        if "judge and store" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert user.result()["status"] == "completed"


def test_a_second_run_is_refused_while_the_first_measures_and_names_it(user: CommandLine, tmp_path: Path) -> None:
    locks = {"XDG_RUNTIME_DIR": str(tmp_path)}
    first = CommandLine(tmp_path / "first", user.config_dir, "lock=exclusive", locks)
    second = CommandLine(tmp_path / "second", user.config_dir, "lock=exclusive", locks)
    process = first.start(*first.words("scenario=faulty", "scenario.kind=never_returns"))
    assert process.stderr is not None
    started = next(line for line in process.stderr if "run " in line)
    run_id = started.split()[-1]
    done = second.run("scenario=steady")
    assert done.returncode == 2
    assert run_id in done.stderr
    assert f"pid {process.pid}" in done.stderr
    assert "lock=shared" in done.stderr
    assert second.folders() == []
    assert second.verb("results").returncode == 0
    shared = CommandLine(tmp_path / "second", user.config_dir, "lock=shared", locks)
    assert shared.run("scenario=steady").returncode == 0
    assert shared.result()["contended"] is True
    process.kill()
    process.communicate()
    assert second.run("scenario=steady").returncode == 0
    assert second.result()["contended"] is False
