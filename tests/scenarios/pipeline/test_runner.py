"""A pipeline runs its steps in order, keeps what they leave, and takes over what had finished in an earlier run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BenchmarkFailed, Cancelled, ConfigError
from harness.results import schema
from harness.scenarios.pipeline.runner import Pipeline
from tests.scenarios.contexts import Hand, by_hand
from tests.scenarios.pipeline import steps

HERE = "tests.scenarios.pipeline.steps"
METRICS = {"work.result": {"unit": "1"}, "second.duration_ms": {"unit": "ms"}}


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    steps.RAN.clear()


def call(name: str, **parameters: Any) -> dict[str, Any]:
    return {"run": {"_target_": f"{HERE}.{name}", **parameters}}


def a_hand(folder: Path, past: tuple[Path, ...] = ()) -> Hand:
    folder.mkdir(exist_ok=True)
    hand = by_hand(folder, **METRICS)
    hand.context.past = past
    return hand


def once(hand: Hand, settings: Mapping[str, Any]) -> Mapping[str, float]:
    pipeline = Pipeline(steps=settings)
    pipeline.setup(hand.context)
    return pipeline.iterate(hand.context)


def finished(hand: Hand) -> list[tuple[str, str]]:
    return [(event["step"], event["status"]) for name, event in hand.events if name == "step.finished"]


THREE = {"first": call("write"), "second": call("read", of="first"), "third": call("write", text="more")}


def test_steps_run_in_their_order_and_find_what_those_before_have_left(tmp_path: Path) -> None:
    hand = a_hand(tmp_path / "run")
    counts = once(hand, THREE)
    assert steps.RAN == ["first", "second", "third"]
    made = (tmp_path / "run/steps/first/made.txt").read_text()
    assert (tmp_path / "run/steps/second/read.txt").read_text() == made
    assert finished(hand) == [("first", "completed"), ("second", "completed"), ("third", "completed")]
    assert counts == {
        "pipeline.steps_completed": 3.0,
        "pipeline.steps_failed": 0.0,
        "pipeline.steps_reused": 0.0,
        "pipeline.steps_skipped": 0.0,
    }
    ended = dict(next(event for name, event in hand.events if name == "step.finished"))
    assert ended["artifacts"] == ["steps/first/made.txt"]
    assert ended["duration_s"] >= 0


def test_the_plan_is_told_before_anything_runs_without_the_steps_that_are_skipped(tmp_path: Path) -> None:
    hand = a_hand(tmp_path / "run")
    settings = {**THREE, "second": {**THREE["second"], "when": False}}
    counts = once(hand, settings)
    name, planned = hand.events[0]
    assert (name, planned["steps"], planned["skipped"]) == ("steps.planned", ["first", "third"], ["second"])
    assert steps.RAN == ["first", "third"]
    assert counts["pipeline.steps_skipped"] == 1


def test_a_step_that_needs_what_a_skipped_one_would_have_left_says_so(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="'second' needs what 'first' leaves") as raised:
        once(a_hand(tmp_path / "run"), {**THREE, "first": {**THREE["first"], "when": False}})
    assert "do not skip it" in str(raised.value.hint)


def test_a_failing_step_stops_the_pipeline(tmp_path: Path) -> None:
    hand = a_hand(tmp_path / "run")
    with pytest.raises(BenchmarkFailed, match="the step 'bad' failed: ValueError: this one never works"):
        once(hand, {"first": call("write"), "bad": call("fail"), "third": call("write")})
    assert steps.RAN == ["first", "bad"]
    assert finished(hand) == [("first", "completed"), ("bad", "failed")]


def test_a_failing_step_may_be_gone_past(tmp_path: Path) -> None:
    hand = a_hand(tmp_path / "run")
    counts = once(hand, {"bad": {**call("fail"), "on_failure": "continue"}, "third": call("write")})
    assert finished(hand) == [("bad", "failed"), ("third", "completed")]
    assert (counts["pipeline.steps_failed"], counts["pipeline.steps_completed"]) == (1, 1)
    told = next(event for name, event in hand.events if name == "step.failed")
    assert (told["step"], told["type"], told["message"]) == ("bad", "ValueError", "this one never works")


def test_a_function_without_a_parameter_for_the_step_is_called_as_it_is(tmp_path: Path) -> None:
    hand = a_hand(tmp_path / "run")
    once(hand, {"only": call("plain", times=3)})
    assert hand.values("work.result") == [3.0]


def test_the_duration_of_a_step_is_a_metric_where_one_is_declared(tmp_path: Path) -> None:
    hand = a_hand(tmp_path / "run")
    once(hand, THREE)
    assert len(hand.values("second.duration_ms")) == 1


def test_each_step_has_a_seed_of_its_own_whatever_ran_before_it(tmp_path: Path) -> None:
    both, alone = a_hand(tmp_path / "both"), a_hand(tmp_path / "alone")
    once(both, {"a": call("draw"), "b": call("draw")})
    once(alone, {"b": call("draw")})
    first, second = both.values("work.result")
    assert first != second
    assert alone.values("work.result") == [second]


def test_progress_is_told_at_most_a_few_times_a_second_and_at_the_end(tmp_path: Path) -> None:
    hand = a_hand(tmp_path / "run")
    once(hand, {"only": call("count", to=2000)})
    told = [event for name, event in hand.events if name == "step.progress"]
    assert told[-1]["done"] == told[-1]["total"] == 2000
    assert len(told) < 200


@pytest.mark.parametrize("done", [1, 2, 3])
def test_what_had_finished_is_taken_over_and_the_rest_is_run(done: int, tmp_path: Path) -> None:
    settings = {**THREE, "first": call("write", metric=4.0)}
    before = a_hand(tmp_path / "before")
    once(before, dict(list(settings.items())[:done]))
    steps.RAN.clear()
    hand = a_hand(tmp_path / "run", (tmp_path / "before",))
    counts = once(hand, settings)
    assert ["first", "second", "third"][done:] == steps.RAN
    assert [status for _, status in finished(hand)] == ["reused"] * done + ["completed"] * (3 - done)
    assert counts["pipeline.steps_reused"] == done
    assert counts["pipeline.steps_completed"] == 3
    assert hand.values("work.result") == before.values("work.result") == [4.0, 4.5]
    earlier = sum(event["duration_s"] for name, event in before.events if name == "step.finished")
    assert hand.context.earlier_ms == pytest.approx(1000 * earlier)


def test_a_step_is_taken_over_from_whichever_earlier_run_has_it(tmp_path: Path) -> None:
    once(a_hand(tmp_path / "oldest"), {"first": THREE["first"]})
    (tmp_path / "killed_early").mkdir()
    hand = a_hand(tmp_path / "run", (tmp_path / "killed_early", tmp_path / "oldest"))
    once(hand, THREE)
    assert finished(hand)[0] == ("first", "reused")
    missed = next(event for name, event in hand.events if name == "step.not_reused")
    assert (missed["of"], missed["reason"]) == ("killed_early", "it had not finished")


def test_artifacts_that_are_not_as_they_were_left_are_made_again(tmp_path: Path) -> None:
    once(a_hand(tmp_path / "before"), THREE)
    (tmp_path / "before/steps/second/read.txt").write_text("changed by hand")
    hand = a_hand(tmp_path / "run", (tmp_path / "before",))
    once(hand, THREE)
    assert finished(hand) == [("first", "reused"), ("second", "completed"), ("third", "completed")]
    missed = next(event for name, event in hand.events if name == "step.not_reused")
    assert missed["reason"] == "its artifacts are not as it left them"


def test_a_step_behind_one_that_is_run_again_is_run_again_too(tmp_path: Path) -> None:
    """The trap: the third step had finished, but on what the second one left then."""
    once(a_hand(tmp_path / "before"), THREE)
    (tmp_path / "before/steps/second.json").unlink()
    hand = a_hand(tmp_path / "run", (tmp_path / "before",))
    once(hand, THREE)
    assert [status for _, status in finished(hand)] == ["reused", "completed", "completed"]


def test_what_a_later_step_writes_into_an_earlier_folder_does_not_reach_the_earlier_run(tmp_path: Path) -> None:
    once(a_hand(tmp_path / "before"), {"first": THREE["first"]})
    kept = (tmp_path / "before/steps/first/made.txt").read_text()
    once(a_hand(tmp_path / "run", (tmp_path / "before",)), {"first": THREE["first"], "bad": call("spoil", of="first")})
    assert (tmp_path / "before/steps/first/made.txt").read_text() == kept


def test_the_time_of_what_was_taken_over_belongs_to_the_iteration(tmp_path: Path) -> None:
    """The trap: a resumed iteration would look faster than any that was not."""
    from harness.engine.loop import DURATION, run_phase
    from harness.measure.samples import Phase

    before = a_hand(tmp_path / "before")
    once(before, THREE)
    earlier_ms = 1000 * sum(event["duration_s"] for name, event in before.events if name == "step.finished")
    hand = a_hand(tmp_path / "run", (tmp_path / "before",))
    pipeline = Pipeline(steps=THREE)
    pipeline.setup(hand.context)
    run_phase(pipeline, hand.context, Phase.MEASURE, 1)
    assert hand.values(DURATION)[0] > earlier_ms
    assert hand.context.earlier_ms == 0


def test_several_iterations_have_folders_of_their_own(tmp_path: Path) -> None:
    hand = a_hand(tmp_path / "run")
    hand.context.config = {"measure": {"iterations": 2}}
    pipeline = Pipeline(steps=THREE)
    pipeline.setup(hand.context)
    for iteration in range(2):
        hand.context.iteration = iteration
        pipeline.iterate(hand.context)
    assert (tmp_path / "run/steps/0/first.json").exists()
    assert (tmp_path / "run/steps/1/third/made.txt").exists()


def test_a_cancel_ends_it_before_the_next_step(tmp_path: Path) -> None:
    hand = a_hand(tmp_path / "run")
    hand.cancel()
    with pytest.raises(Cancelled):
        once(hand, THREE)
    assert steps.RAN == []


def test_the_record_of_a_step_fits_its_schema(tmp_path: Path) -> None:
    once(a_hand(tmp_path / "run"), {"first": call("write", metric=1.0)})
    kept = json.loads((tmp_path / "run/steps/first.json").read_bytes())
    assert schema.validate(kept, "step") == []
    assert kept["metrics"] == [["work.result", 1.0], ["work.result", 1.5]]


@pytest.mark.parametrize(
    ("settings", "place", "said"),
    [
        ({}, "scenario.steps", "at least one step"),
        ({"a": {}}, "scenario.steps.a", "one of run and command, found neither"),
        ({"a": {**call("write"), "command": "true"}}, "scenario.steps.a", "one of run and command, found both"),
        ({"a": call("absent")}, "scenario.steps.a.run", "absent"),
        ({"a/b": call("write")}, "scenario.steps.a/b", "usable as a folder's name"),
        ({"a": {"run": {"text": "x"}}}, "scenario.steps.a.run._target_", "must be given"),
        ({"a": {"run": {"_target_": "pathlib.Path"}}}, "scenario.steps.a.run._target_", "must be a function"),
    ],
)
def test_a_step_without_proper_work_is_refused_with_its_place(
    settings: dict[str, Any], place: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        once(a_hand(tmp_path / "run"), settings)
    assert refused.value.problems[0].place == place
    assert said in refused.value.problems[0].message


def test_what_a_function_returns_is_a_mapping_of_metrics_or_nothing(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="returned str, not a mapping"):
        once(a_hand(tmp_path / "run"), {"a": call("text")})


def test_values_of_yaml_reach_the_function_as_they_are(tmp_path: Path) -> None:
    once(a_hand(tmp_path / "run"), {"a": call("write", text="${HOME} \\${x}")})
    assert (tmp_path / "run/steps/a/made.txt").read_text().startswith("${HOME} \\${x} ")
