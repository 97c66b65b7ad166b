"""A run, a suite and a pipeline that were killed go on where they were, and end in the document of an unkilled one."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from harness.journal.lines import read_journal
from harness.measure.samples import read_measured
from tests.command_line import CommandLine
from tests.faults.resumable import BROKEN, GATE, LOG

pytestmark = pytest.mark.faults

CONF = Path(__file__).parent / "conf"
# What two runs of one configuration may differ in: when, by whom, how long, and what the resumed one says of itself.
_MEASURED = {"run_id", "trace_id", "started_at", "finished_at", "duration_s", "process", "telemetry", "resumed"}
_MEASURED |= {"warnings", "anomalies", "recommendations"}
_ONLY_SOMETIMES = {"run.resumed", "run.progress", "workload.waiting", "step.not_reused", "step.started"}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where the work notes what it did."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


class Away(CommandLine):
    """A user whose folder is no checkout, so that no commit can come between a run and its resume."""

    def start(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        self.outputs.parent.mkdir(exist_ok=True)
        return super().start(*arguments, cwd=self.outputs.parent)


def a_user(tmp_path: Path, work: Path, name: str = "outputs") -> CommandLine:
    return Away(tmp_path / name, CONF, environment={"RESUMABLE_FOLDER": str(work)})


def done(work: Path) -> list[str]:
    return (work / LOG).read_text().split()


def open_gate(work: Path) -> None:
    (work / GATE).touch()


def kill_at_gate(user: CommandLine, process: subprocess.Popen[str]) -> None:
    """Kills the supervisor with SIGKILL when the work has come to its gate."""
    while not any("workload.waiting" in _text(folder / "events.jsonl") for folder in user.folders()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)  # between two looks at the journal
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    user.await_no_survivors()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def settled(result: dict[str, Any]) -> dict[str, Any]:
    """The result without what is measured."""
    kept = {key: value for key, value in result.items() if key not in _MEASURED}
    metrics = {
        name: {**metric, "statistics": metric["statistics"]["n"], "samples": len(metric["samples"])}
        for name, metric in result["metrics"].items()
        if name != "pipeline.steps_reused"
    }
    digests = {key: value for key, value in result["digests"].items() if key not in ("samples", "result")}
    environment = {key: value for key, value in result["environment"].items() if key not in ("quietness", "cpu")}
    events = {name: count for name, count in result["events"].items() if name not in _ONLY_SOMETIMES}
    errors = [{**error, "traceback": ""} for error in result["errors"]]
    return {
        **kept,
        "metrics": metrics,
        "digests": digests,
        "environment": environment,
        "events": events,
        "errors": errors,
    }


def test_a_killed_run_goes_on_without_repeating_an_iteration(tmp_path: Path, work: Path) -> None:
    user = a_user(tmp_path, work)
    words = ["scenario=gated", f"scenario.folder={work}"]
    kill_at_gate(user, user.start(*user.words(*words)))
    assert done(work) == ["1.0", "1.1", "1.2"]
    open_gate(work)
    ended = user.verb("resume", "last")
    assert ended.returncode == 0, ended.stderr
    assert "now crashed, after 3 iterations" in ended.stderr
    assert done(work) == [f"1.{number}" for number in range(6)]
    result = user.result()
    killed, resumed = (folder.name for folder in user.folders())
    assert result["resumed"] == {"from": killed, "kept_iterations": 3, "changes": []}
    assert f"Resumed from {killed}, which had finished 3 iterations" in ended.stdout
    manifest = json.loads((user.folders()[-1] / "manifest.json").read_bytes())
    assert manifest["resumed_from"] == killed
    other = a_user(tmp_path, work, "unkilled")
    assert other.run(*words).returncode == 0
    assert settled(result) == settled(other.result())
    assert result["digests"]["outcome"] is not None
    verified = user.verb("verify", "--all")
    assert verified.returncode == 0, verified.stdout
    again = user.verb("resume", killed)
    assert again.returncode == 2
    assert f"was resumed by {resumed}, which has completed" in again.stderr


def test_a_run_that_is_killed_twice_goes_on_from_the_later_one(tmp_path: Path, work: Path) -> None:
    user = a_user(tmp_path, work)
    kill_at_gate(user, user.start(*user.words("scenario=gated", f"scenario.folder={work}")))
    first = user.folders()[0].name
    process = user.start("resume", first)
    while len(user.folders()) < 2:
        assert process.poll() is None, process.communicate()
    second = user.folders()[-1]
    while "workload.waiting" not in _text(second / "events.jsonl"):
        assert process.poll() is None, process.communicate()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    user.await_no_survivors()
    open_gate(work)
    assert user.verb("resume", first).returncode == 0
    assert user.result()["resumed"] == {"from": second.name, "kept_iterations": 3, "changes": []}
    assert done(work) == [f"1.{number}" for number in range(6)]


def test_a_cancelled_run_can_be_gone_on_with(tmp_path: Path, work: Path) -> None:
    user = a_user(tmp_path, work)
    process = user.start(*user.words("scenario=gated", f"scenario.folder={work}"))
    while not any("workload.waiting" in _text(folder / "events.jsonl") for folder in user.folders()):
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    process.communicate()
    open_gate(work)
    assert user.verb("resume", "last").returncode == 0
    assert done(work) == [f"1.{number}" for number in range(6)]
    assert user.result()["iterations"]["completed"] == 6


TRIALS, COUNT = 8, 1200
MANY = (
    "scenario=gated",
    "scenario.wait_in=0",
    "scenario.every=50",
    "scenario.rounds=400",
    "measure.warmup=0",
    "threshold.rules=[]",
)


@pytest.mark.timeout(560)
def test_a_run_that_was_killed_at_any_moment_ends_as_if_it_had_not_been(tmp_path: Path, work: Path) -> None:
    words = [*MANY, f"measure.iterations={COUNT}", f"scenario.folder={work}"]
    reference = a_user(tmp_path, work, "unkilled")
    assert reference.run(*words).returncode == 0
    expected = settled(reference.result())
    assert expected["events"]["work.done"] == COUNT // 50
    size = (work / LOG).stat().st_size
    chance = random.Random(5)
    repeated = []
    for trial in range(TRIALS):
        (work / LOG).unlink()
        user = a_user(tmp_path, work, f"outputs{trial}")
        process = user.start(*user.words(*words))
        moment = chance.uniform(0.0, 0.9) * size
        while not (work / LOG).exists() or (work / LOG).stat().st_size < moment:
            assert process.poll() is None, process.communicate()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        user.await_no_survivors()
        before = done(work)
        ended = user.verb("resume", "last")
        message = f"trial {trial}: exit {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        assert ended.returncode == 0, message
        result = user.result()
        assert settled(result) == expected, message
        measured = read_measured(user.folders()[-1] / "samples.bin")
        assert measured.series["iteration.duration_ms"].iterations == [0, *range(2, COUNT)], message
        kept = result["resumed"]["kept_iterations"]
        assert done(work)[len(before) :] == [f"1.{number}" for number in range(kept, COUNT)], message
        repeated.append(len(before) - kept)
    # Where the supervisor was far behind, all is measured again; that must be rare.
    assert sum(count <= 64 for count in repeated) >= TRIALS // 2, repeated


def suite_of(user: CommandLine) -> dict[str, Any]:
    (path,) = (user.outputs / "suites").glob("*/suite.json")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def settled_suite(suite: dict[str, Any]) -> dict[str, Any]:
    measured = {"suite_id", "created_at", "finished_at", "resumed_at", "identity", "digest", "command"}
    varying = {"run_id", "duration_s", "headline", "resumed_from"}
    jobs = [{key: value for key, value in job.items() if key not in varying} for job in suite["jobs"]]
    return {**{key: value for key, value in suite.items() if key not in measured}, "jobs": jobs}


def test_a_killed_suite_ends_in_the_document_of_an_unkilled_one(tmp_path: Path, work: Path) -> None:
    user = a_user(tmp_path, work)
    words = ["-m", "scenario=gated", f"scenario.folder={work}", "scenario.size=1,2,3", "scenario.wait_in=2"]
    kill_at_gate(user, user.start(*user.words(*words)))
    assert done(work) == [f"1.{number}" for number in range(6)] + ["2.0", "2.1", "2.2"]
    assert [job["status"] for job in suite_of(user)["jobs"]] == ["completed", "running", "pending"]
    open_gate(work)
    ended = user.verb("resume", "last")
    assert ended.returncode == 0, ended.stderr
    assert done(work) == [f"{size}.{number}" for size in (1, 2, 3) for number in range(6)]
    suite = suite_of(user)
    other = a_user(tmp_path, work, "unkilled")
    assert other.run(*words).returncode == 0
    assert settled_suite(suite) == settled_suite(suite_of(other))
    assert len(suite["resumed_at"]) == 1
    results = [
        [
            json.loads((one.outputs / "runs" / job["run_id"] / "result.json").read_bytes())
            for job in suite_of(one)["jobs"]
        ]
        for one in (user, other)
    ]
    assert list(map(settled, results[0])) == list(map(settled, results[1]))
    assert [("resumed" in result) for result in results[0]] == [False, True, False]
    again = user.verb("resume", suite["suite_id"])
    assert again.returncode == 2
    assert "every job of" in again.stderr


def test_a_suite_whose_yaml_has_changed_is_not_gone_on_with(tmp_path: Path, work: Path) -> None:
    own = tmp_path / "conf"
    (own / "scenario").mkdir(parents=True)
    text = (CONF / "scenario" / "gated.yaml").read_text()
    (own / "scenario" / "gated.yaml").write_text(text)
    user = Away(tmp_path / "outputs", own)
    words = ["-m", "scenario=gated", f"scenario.folder={work}", "scenario.size=1,2", "scenario.wait_in=2"]
    kill_at_gate(user, user.start(*user.words(*words)))
    (own / "scenario" / "gated.yaml").write_text(text.replace("warmup: 2", "warmup: 1"))
    refused = user.verb("resume", "last")
    assert refused.returncode == 2
    assert "has changed since it was started: job 1, gated; job 2, gated" in refused.stderr
    (own / "scenario" / "gated.yaml").write_text(text)
    open_gate(work)
    assert user.verb("resume", "last").returncode == 0


def test_a_killed_pipeline_goes_on_at_its_step(tmp_path: Path, work: Path) -> None:
    user = a_user(tmp_path, work)
    kill_at_gate(user, user.start(*user.words("scenario=stepped")))
    assert done(work) == ["first", "second"]
    open_gate(work)
    ended = user.verb("resume", "last")
    assert ended.returncode == 0, ended.stderr
    assert "which had finished 0 iterations and 2 steps" in ended.stdout
    assert done(work) == ["first", "second", "third"]
    killed, resumed = user.folders()
    steps = resumed / "steps"
    assert (steps / "first" / "made.txt").read_bytes() == (killed / "steps" / "first" / "made.txt").read_bytes()
    assert (steps / "last" / "output.txt").read_text() == (steps / "third" / "all.txt").read_text()
    told = [event for event in read_journal(resumed / "events.jsonl")[0] if event["event"] == "step.finished"]
    assert [(event["step"], event["status"]) for event in told] == [
        ("first", "reused"), ("second", "reused"), ("third", "completed"), ("last", "completed"),
    ]  # fmt: skip
    result = user.result()
    other = a_user(tmp_path, work, "unkilled")
    assert other.run("scenario=stepped").returncode == 0
    assert settled(result) == settled(other.result())
    seconds = result["metrics"]["iteration.duration_ms"]["statistics"]["mean"] / 1000
    assert seconds >= sum(event["duration_s"] for event in told if event["status"] == "reused")


def test_a_pipeline_whose_step_broke_goes_on_at_that_step_once_it_is_mended(tmp_path: Path, work: Path) -> None:
    user = a_user(tmp_path, work)
    open_gate(work)
    (work / BROKEN).touch()
    broken = user.run("scenario=stepped")
    assert broken.returncode == 3
    assert "the step 'third' failed: RuntimeError: this step is broken" in broken.stdout
    (work / BROKEN).unlink()
    mended = user.verb("resume", "last")
    assert mended.returncode == 0, mended.stderr
    assert done(work) == ["first", "second", "third"]
    assert user.result()["iterations"] | {"error_rate": 0} == {
        "warmup": 0, "planned": 1, "completed": 1, "failed": 0, "error_rate": 0,
    }  # fmt: skip


def test_the_imitation_pipeline_interrupted_after_its_second_step_is_resumed_to_the_same_clone(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium")
    user = Away(tmp_path / "outputs")
    small = ["scenario.steps.evaluate.run.episodes=2", "scenario.steps.fine_tune.run.rounds=3", "affinity.threads=1"]
    process = user.start(*user.words("scenario=imitation", *small))
    while not any('"step.started"' in _text(f / "events.jsonl") and '"fine_tune"' in _last(f) for f in user.folders()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)  # between two looks at the journal
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    user.await_no_survivors()
    ended = user.verb("resume", "last")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = user.result()
    assert result["metrics"]["pipeline.steps_reused"]["statistics"]["max"] == 2
    other = Away(tmp_path / "unkilled")
    assert other.run("scenario=imitation", *small).returncode == 0
    for name, metric in other.result()["metrics"].items():
        if name.startswith("imitation.") and metric["unit"] != "1/s":
            assert result["metrics"][name]["samples"] == metric["samples"], name
    shares = {name: result["metrics"][f"imitation.{name}_share"]["statistics"]["mean"] for name in ("clone", "tuned")}
    assert shares["clone"] >= 0.2
    assert shares["tuned"] >= 0.9


def _last(folder: Path) -> str:
    """The journal from the start of its third step on."""
    return _text(folder / "events.jsonl").partition('"step.finished"')[2].partition('"step.finished"')[2]
