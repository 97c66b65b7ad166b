"""The benchmark of the ETA runs real pipelines and counts what their own records say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import BenchmarkFailed
from harness.paths import data
from harness.scenarios.bench import six_steps
from harness.scenarios.bench.eta import MIXES, EtaError, _durations
from harness.scenarios.pipeline.step import Step
from tests.scenarios.contexts import by_hand


def a_manifest(durations: list[float], told: dict[str, Any]) -> dict[str, Any]:
    steps = [{"kind": "step", "status": "completed", "duration_s": each} for each in durations]
    return {"run_id": "r1", "steps": [{"kind": "phase"}, *steps], "eta": {"told": [told]}}


def scripted(runner: EtaError, *errors: float) -> None:
    """Lets the runner read what runs with these errors would have recorded."""
    told = [{"after": 2, "error": each, "low_s": 3.0, "actual_s": 4.0, "high_s": 5.0} for each in errors]
    manifests = iter([a_manifest([1.0] * 6, each) for each in told])
    runner._run = lambda mix: next(manifests)  # type: ignore[method-assign]
    runner._past = {mix: [[1.0] * 6] for mix in MIXES}


def test_the_share_is_that_of_the_runs_within_a_fifth(tmp_path: Path) -> None:
    runner, hand = EtaError(history=1, neighbours=0, seed=0), by_hand(tmp_path)
    scripted(runner, 0.1, -0.19, 0.3, -0.05)
    for _ in range(4):
        runner.iterate(hand.context)
    assert hand.values("bench.eta.runs")[-1] == 4
    assert hand.values("bench.eta.error_percent") == pytest.approx([10.0, 19.0, 30.0, 5.0])
    share, low, high = hand.values("bench.eta.within_20pct")[-3:]
    assert share == 0.75
    assert low < share < high


def test_a_run_without_an_estimate_is_no_measurement(tmp_path: Path) -> None:
    runner = EtaError(history=1, neighbours=0, seed=0)
    runner._run = lambda mix: a_manifest([1.0] * 6, {"after": 1, "error": 0.0})  # type: ignore[method-assign]
    with pytest.raises(BenchmarkFailed, match="recorded no estimate after its second step"):
        runner.iterate(by_hand(tmp_path).context)


def test_a_run_that_lacks_a_step_is_no_measurement() -> None:
    with pytest.raises(BenchmarkFailed, match="did not complete its six steps"):
        _durations(a_manifest([1.0] * 5, {}))


def test_the_mixes_change_knobs_that_the_pipeline_has() -> None:
    shipped = yaml.safe_load((data("conf") / "scenario" / "six_steps.yaml").read_text(encoding="utf-8"))
    for mix in MIXES.values():
        for knob in mix:
            node = shipped["scenario"]["steps"]
            for part in knob.split("."):
                node = node[part]


def test_the_six_steps_do_their_work_on_what_the_one_before_has_left(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    done: dict[str, Path] = {}
    works = {
        "write": lambda step: six_steps.write(step, lines=200),
        "sort": lambda step: six_steps.sort(step, times=1),
        "pack": lambda step: six_steps.pack(step, times=1),
        "digest": lambda step: six_steps.digest(step, times=2),
        "count": lambda step: six_steps.count(step, times=1),
        "query": lambda step: six_steps.query(step, times=1),
    }
    for name, work in works.items():
        folder = tmp_path / name
        folder.mkdir()
        work(Step(name, folder, 7, dict(done), hand.context))
        done[name] = folder
    written, ordered = ((tmp_path / name / six_steps.LINES).read_text().split("\n") for name in ("write", "sort"))
    assert sorted(filter(None, written)) == sorted(filter(None, ordered))
    assert len((tmp_path / "digest" / "digest.txt").read_text()) == 64


@pytest.mark.slow
def test_two_real_runs_are_counted(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    runner = EtaError(history=1, neighbours=1, seed=1)
    runner.setup(hand.context)
    try:
        runner.iterate(hand.context)
    finally:
        runner.teardown()
    assert hand.values("bench.eta.runs") == [1.0]
    assert hand.values("bench.eta.speed")[0] > 0
