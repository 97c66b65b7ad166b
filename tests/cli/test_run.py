"""`run` as a person uses it: verdicts, exit codes, documents, sweeps, and no secret in anything that is written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import ROOT, CommandLine

QUICK = ("scenario=function", "measure.iterations=5", "measure.warmup=1")


@pytest.fixture
def user(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "outputs")


def documents(user: CommandLine) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {"result": [], "manifest": [], "scenario_metrics": []}
    for folder in user.folders():
        found["result"].append(folder / "result.json")
        found["manifest"].append(folder / "manifest.json")
        found["scenario_metrics"] += folder.glob("*_metrics.json")
    return found


def test_every_document_is_accepted_by_an_independent_validator(user: CommandLine) -> None:
    assert user.run(*QUICK).returncode == 0
    assert user.run("scenario=command", 'scenario.command="true"', "measure.iterations=3").returncode == 0
    for kind, paths in documents(user).items():
        assert len(paths) == 2
        schema = str(ROOT / "schemas" / f"{kind}.schema.json")
        done = subprocess.run(
            [sys.executable, "-m", "check_jsonschema", "--schemafile", schema, *map(str, paths)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("rule", "strict", "code", "level"),
    [
        ('"> 1e9"', False, 0, "pass"),
        ('"> 0"', False, 1, "fail"),
        ('"> 0"', True, 1, "fail"),
    ],
)
def test_the_exit_code_follows_the_verdict(user: CommandLine, rule: str, strict: bool, code: int, level: str) -> None:
    threshold = "threshold={rules: [{metric: iteration.duration_ms, stat: p50, critical: " + rule + "}]}"
    done = user.run(*QUICK, f"+{threshold}", f"strict={str(strict).lower()}")
    assert done.returncode == code, done.stderr
    assert user.result()["verdict"]["level"] == level


def test_an_undecided_verdict_fails_only_when_asked_to(user: CommandLine) -> None:
    rule = '+threshold={rules: [{metric: iteration.duration_ms, stat: p99, critical: "> 1e9", by: interval}]}'
    assert user.run(*QUICK, rule).returncode == 0
    assert user.result()["verdict"]["level"] == "inconclusive"
    assert user.run(*QUICK, rule, "strict=true").returncode == 1


def test_two_runs_of_one_deterministic_configuration_have_the_same_outcome(user: CommandLine) -> None:
    (user.outputs.parent / "drawn.py").write_text(
        "import random\ndef draw():\n    return repr([random.random() for _ in range(10)])\n"
    )
    words = ("scenario=function", "scenario.function=drawn:draw", "scenario.arguments={}", "deterministic=true")
    digests = []
    for seed in (7, 7, 8):
        assert user.run(*words, f"seed={seed}", cwd=user.outputs.parent).returncode == 0
        digests.append(user.result()["digests"]["outcome"])
    assert digests[0] == digests[1] != digests[2]
    assert None not in digests


def test_planted_secrets_are_in_nothing_that_is_written(user: CommandLine) -> None:
    user.environment |= {"MY_SERVICE_TOKEN": "planted-secret-value-1"}
    command = '"echo $MY_SERVICE_TOKEN; echo Authorization: Bearer planted-secret-value-2"'
    done = user.run(
        "scenario=command", f"scenario.command={command}", "scenario.output=keep", "measure.iterations=2",
        "+metrics={}", "tags=[planted-secret-value-1]",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = [path for path in user.outputs.rglob("*") if path.is_file()]
    assert len(written) > 5
    for path in written:
        content = path.read_bytes()
        assert b"planted-secret-value" not in content, path
    assert "planted-secret-value-1" not in done.stdout + done.stderr


def test_a_sweep_ends_with_one_table_and_leaves_no_trace_of_the_sweeper(user: CommandLine) -> None:
    done = user.run("-m", *QUICK, "measure.iterations=3,4", "seed=1,2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("function") >= 4
    assert "4 jobs" in done.stdout
    assert len(user.folders()) == 4
    assert not (user.outputs / "sweeps").exists()


def test_a_wrong_job_is_found_before_any_job_runs(user: CommandLine) -> None:
    done = user.run("-m", *QUICK, "measure.warmup=1,-1,2,-2")
    assert done.returncode == 2
    assert "found -1" in done.stderr
    assert "found -2" in done.stderr
    assert user.folders() == []


def test_a_suite_whose_time_is_over_skips_the_rest_and_says_so(user: CommandLine) -> None:
    done = user.run("-m", *QUICK, "seed=1,2,3", "suite_timeout_s=0.000001")
    assert done.returncode == 3
    assert done.stdout.count("skipped") >= 3
    assert "the time of the suite was over" in done.stdout


def test_a_job_that_outlasts_the_time_of_the_suite_is_ended_and_can_be_gone_on_with(user: CommandLine) -> None:
    """Trap: a bound that is looked at between jobs only, so that one job takes as long as it likes."""
    words = ("scenario=command", "scenario.command='sleep 1000'", "measure.warmup=0", "seed=1,2", "suite_timeout_s=3")
    done = user.run("-m", *words)
    assert done.returncode == 3
    (suite,) = (user.outputs / "suites").glob("*/suite.json")
    jobs = json.loads(suite.read_bytes())["jobs"]
    assert [job["status"] for job in jobs] == ["cancelled", "skipped"]
    assert {job["message"] for job in jobs} == {"the time of the suite was over"}
    again = user.verb("resume", suite.parent.name)
    assert again.returncode == 3
    assert "2 of 2" not in again.stdout
    assert len(user.folders()) == 2


def test_a_damaged_index_is_told_and_read_anew(user: CommandLine) -> None:
    user.run(*QUICK)
    (user.outputs / "index.sqlite").write_text("no database at all")
    done = user.verb("results")
    assert done.returncode == 0
    assert user.folders()[0].name in done.stdout
    assert "index.sqlite: file is not a database; it is read anew from the manifests" in done.stderr


def test_a_gpu_that_is_not_there_is_refused_before_anything_runs(user: CommandLine) -> None:
    done = user.run(*QUICK, "device=cuda")
    if done.returncode == 0:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 2
    assert "no GPU can be used here" in done.stderr
    assert "device=cpu" in done.stderr
    assert user.folders() == []
    for kind in ("mps", "xpu"):
        refused = user.run(*QUICK, f"device={kind}")
        assert refused.returncode == 2
        assert kind in refused.stderr


def test_automatic_choice_of_a_device_is_stated(user: CommandLine) -> None:
    assert user.run(*QUICK, "device=auto").returncode == 0
    assert user.result()["device"] in ("cpu", "cuda")


def test_a_rerun_measures_the_stored_configuration_again(user: CommandLine) -> None:
    assert user.run(*QUICK, "seed=42").returncode == 0
    first = user.result()
    assert user.verb("rerun", first["run_id"]).returncode == 0
    again = user.result()
    assert again["run_id"] != first["run_id"]
    assert again["config"]["seed"] == 42
    assert again["tags"] == [f"rerun_of={first['run_id']}"]
    assert again["digests"]["outcome"] == first["digests"]["outcome"]


def test_everything_stays_below_the_output_folder(user: CommandLine, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    assert user.run(*QUICK, cwd=place).returncode == 0
    assert list(place.iterdir()) == []
    assert json.loads((user.folders()[0] / "manifest.json").read_bytes())["host"]


@pytest.mark.parametrize("words", [["scenrio=function"], ["--frobnicate", "scenario=function"], ["scenario"], ["lst"]])
def test_a_mistyped_command_is_refused_with_a_hint_and_no_traceback(user: CommandLine, words: list[str]) -> None:
    done = user.verb(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
