"""Composition: the same as Hydra's where nothing is wrong, and never an exception where something is."""

import os
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from harness.config.check import check
from harness.config.compose import allowed_cpus, compose, compose_all, expand, rewrite
from harness.measure.catalogue import load_catalogue
from harness.paths import data

TOKENIZE = "# @package _global_\nscenario: {_target_: mybench.tokenize, text_kb: 64}\n"


@pytest.fixture(autouse=True)
def no_folder_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_CONFIG_DIR", raising=False)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_result_is_what_hydra_itself_composes() -> None:
    overrides = ["scenario=function", "telemetry=light", "measure.iterations=7", "tags=[a,b]"]
    with hydra.initialize_config_dir(str(data("conf")), version_base="1.3"):
        expected = OmegaConf.to_container(hydra.compose("config", overrides), resolve=True)
    composed = compose(overrides)
    assert composed.problems == []
    assert composed.config == expected
    assert composed.mode == "RUN"
    assert composed.overrides == overrides


def test_choices_and_their_files_are_known() -> None:
    composed = compose(["scenario=function", "affinity=pinned"])
    assert composed.choices["affinity"] == "pinned"
    assert composed.sources["affinity"] == "conf/affinity/pinned.yaml"
    assert composed.sources["scenario"] == "conf/scenario/function.yaml"
    assert "threshold" not in composed.sources or composed.choices["threshold"] == "function"


def test_nothing_of_hydra_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compose(["scenario=function", "measure.warmup=oops"])
    assert not GlobalHydra.instance().is_initialized()
    assert list(tmp_path.iterdir()) == []


def test_a_composition_inside_a_running_application_leaves_it_alone() -> None:
    with hydra.initialize_config_dir(str(data("conf")), version_base="1.3"):
        before = GlobalHydra.instance().hydra
        compose(["scenario=function"])
        assert GlobalHydra.instance().hydra is before


@pytest.mark.parametrize("name", ["plain", "with space", "with,comma", "with'quote", 'with"double', "with=equals"])
def test_a_users_folder_of_any_name_is_searched(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / name, scenario__mine=TOKENIZE)
    composed = compose(["scenario=mine"], [folder])
    assert composed.problems == []
    assert composed.config["scenario"]["text_kb"] == 64
    assert composed.layers[-1].path == folder / "scenario" / "mine.yaml"


def test_the_environment_names_folders_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "one", scenario__first=TOKENIZE)
    write(tmp_path / "two", scenario__second=TOKENIZE)
    monkeypatch.setenv("HARNESS_CONFIG_DIR", os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")]))
    assert compose(["scenario=first"]).problems == []
    assert compose(["scenario=second"]).problems == []


def test_a_folder_that_is_not_there_is_a_problem_beside_the_others(tmp_path: Path) -> None:
    found = compose(["scenario=functoin"], [tmp_path / "absent"]).problems
    assert [problem.message for problem in found] == ["no such folder", "unknown scenario 'functoin'"]


def test_a_job_of_a_suite_is_checked_as_a_run() -> None:
    whole, jobs = compose_all(["suite=smoke", "scenario=function"])
    assert whole.mode == "MULTIRUN"
    assert [job.mode for job in jobs] == ["RUN"]
    assert jobs[0].config["suite"] == "smoke"
    assert jobs[0].problems == []


def test_the_pattern_of_a_suite_finds_the_users_scenarios(tmp_path: Path) -> None:
    folder = write(tmp_path, scenario__bench_of_mine=TOKENIZE)
    names = [next(word for word in job if word.startswith("scenario=")) for job in expand(["suite=proof"], [folder])]
    assert "scenario=bench_of_mine" in names
    assert "scenario=none" not in names
    assert len(names) > 1


def test_sweeps_multiply_in_the_order_given() -> None:
    jobs = expand(["hydra.mode=MULTIRUN", "scenario=function", "telemetry=full,light", "measure.warmup=range(0,3,2)"])
    assert [job[1:] for job in jobs] == [
        ["telemetry=full", "measure.warmup=0"],
        ["telemetry=full", "measure.warmup=2"],
        ["telemetry=light", "measure.warmup=0"],
        ["telemetry=light", "measure.warmup=2"],
    ]


def test_without_a_sweep_there_is_one_job() -> None:
    assert expand(["scenario=function", "seed=3"]) == [["scenario=function", "seed=3"]]


SWEEP = """
import sys, hydra
from hydra.core.hydra_config import HydraConfig
from harness.config.check import check
from harness.config.compose import adopt, rewrite
from harness.measure.catalogue import load_catalogue
from harness.paths import data
from pathlib import Path
folder, *overrides = sys.argv[1:]
def task(config):
    composed = adopt(config, [Path(folder)])
    print("JOB", composed.overrides, composed.config["measure"]["warmup"], composed.mode, composed.problems)
sys.argv[1:] = rewrite(overrides, [Path(folder)])
hydra.main(version_base="1.3", config_path=str(data("conf")), config_name="config")(task)()
"""


def test_hydras_own_sweeper_runs_the_jobs_that_were_checked(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "my",
        scenario__one=TOKENIZE,
        scenario__two=TOKENIZE,
        suite__mine="# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: "
        '{scenario: "glob([one,two])", measure.warmup: "1,2"}}}\n',
    )
    overrides = ["suite=mine", "measure.warmup=5,6", "seed=3", "tags=[a]", '+limits.memory_mb="${seed}"']
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "HARNESS_OUTPUTS": str(tmp_path / "out")}
    ended = subprocess.run(
        [sys.executable, "-c", SWEEP, str(folder), *overrides],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    _, jobs = compose_all(overrides, [folder])
    expected = [f"JOB {job.overrides} {job.config['measure']['warmup']} RUN []" for job in jobs]
    assert len(expected) == 4
    # the prefix + is gone on Hydra's way, since every value is forced there
    assert ended.stdout.splitlines() == [line.replace("+limits", "limits") for line in expected]
    assert {path.name for path in tmp_path.iterdir()} == {"my", "out"}


def test_rewriting_forces_values_and_leaves_choices() -> None:
    lines = rewrite(["scenario=function", "measure.warmup=1", "+measure.x=2", "~tags", "hydra.mode=RUN", "+device=cpu"])
    assert lines == [
        "scenario=function",
        "++measure.warmup=1",
        "++measure.x=2",
        "~tags",
        "hydra.mode=RUN",
        "device=cpu",
    ]


def test_what_cannot_be_parsed_passes_through_rewriting() -> None:
    assert rewrite(["a=b;c"]) == ["a=b;c"]


@pytest.mark.parametrize("group", ["threshold", "suite", "experiment", "model", "data"])
def test_an_optional_group_can_be_switched_off(group: str) -> None:
    composed = compose(["scenario=bench_engine", f"{group}=null"])
    assert composed.problems == []
    assert group not in composed.sources
    assert composed.config.get(group) is None


def test_a_group_that_is_needed_cannot_be_switched_off() -> None:
    found = check(compose(["scenario=function", "telemetry=null"]), load_catalogue())
    expected = "override telemetry=null: telemetry: must be given; set it with telemetry=…"
    assert [str(problem) for problem in found] == [expected]


def test_hydras_choices_and_the_hosts_cpus_can_be_referred_to() -> None:
    composed = compose(["scenario=function", "tags=['${hydra:runtime.choices.device}']", "affinity=all_cores"])
    assert composed.problems == []
    assert composed.config["tags"] == ["cpu"]
    assert composed.config["affinity"]["threads"] == len(allowed_cpus())
    assert compose(["scenario=function", "affinity=pinned"]).config["affinity"]["cpus"] == allowed_cpus()[:1]


def test_setting_a_value_through_a_reference_is_refused_with_the_right_key(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        model__small="_target_: mybench.tokenize\ntext_kb: 3\n",
        scenario__uses="# @package _global_\ndefaults: [{override /model: small}]\n"
        'scenario: {_target_: mybench.greet, text: "${model}"}\n',
    )
    found = compose(["scenario=uses", "scenario.text.text_kb=4"], [folder]).problems
    assert [str(problem) for problem in found] == [
        "override scenario.text.text_kb=4: scenario.text.text_kb: scenario.text is ${model}; set model.text_kb=4"
    ]


def test_a_broken_option_does_not_hide_the_other_mistakes(tmp_path: Path) -> None:
    folder = write(tmp_path, scenario__broken="scenario: {a: b\n", device__odd="kind: [cpu\n")
    found = compose(["scenario=broken", "device=odd", "seed=1,2", "x=(", "tags=${nope}"], [folder]).problems
    places = [problem.place.removeprefix(f"{tmp_path}/") for problem in found]
    assert places == [
        "override x=(",
        "scenario/broken.yaml:2:1",
        "device/odd.yaml:2:1",
        "override seed=1,2",
        "override tags=${nope}",
    ]


def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "scenario").mkdir()
    (tmp_path / "scenario" / "binary.yaml").write_bytes(b"\xff\xfe\x00a: b")
    (problem,) = compose(["scenario=binary"], [tmp_path]).problems
    assert problem.place.startswith(f"{tmp_path}/scenario/binary.yaml")
    assert "UTF-8" in problem.message


def test_a_secret_in_a_wrong_override_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "s3cr3t-value")
    found = compose(["scenario=function", "scenario.api_key=abc;def", "tags=s3cr3t-value;"]).problems
    text = "\n".join(map(str, found))
    assert len(found) == 2
    assert "abc" not in text
    assert "s3cr3t-value" not in text
