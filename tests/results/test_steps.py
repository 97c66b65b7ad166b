"""Steps are what the events tell: in order, with how each ended, however the run did."""

from harness.results.steps import StepLog, steps_of
from tests.track.events import event, finished, phase, pipeline, started, whole_run

PHASES = {"setup": 1.0, "warmup": 2.0, "measure": 10.0, "report": 0.5}


def statuses(log: StepLog) -> dict[str, str]:
    return {step.name: step.status for step in log.steps}


def test_each_phase_ends_when_the_next_begins_and_the_last_with_the_run() -> None:
    log = steps_of(whole_run(PHASES))
    assert {step.name: step.duration_s for step in log.steps} == PHASES
    assert set(statuses(log).values()) == {"completed"}


def test_a_phase_without_iterations_is_no_step() -> None:
    log = steps_of([started(0, 5), phase(0.0, "setup"), phase(1.0, "warmup", iterations=0), phase(1.0, "measure")])
    assert statuses(log) == {"setup": "completed", "measure": "running", "report": "pending"}


def test_the_steps_of_a_runner_replace_the_phases_in_which_it_works() -> None:
    log = steps_of(pipeline({"collect": 3.0, "clone": 4.0}))
    assert [step.name for step in log.steps] == ["setup", "collect", "clone", "report"]
    assert [step.name for step in log.numbered] == ["collect", "clone"]
    assert [step.duration_s for step in log.numbered] == [3.0, 4.0]


def test_a_skipped_step_leaves_the_total() -> None:
    """Trap: robot_sf counts a later step that is skipped, because its 0.0 duration is falsy."""
    log = steps_of(pipeline({"collect": 3.0, "clone": 4.0}, skipped=("tune",)))
    assert len(log.numbered) == 2
    assert statuses(log)["tune"] == "skipped"


def test_a_step_that_is_skipped_while_the_pipeline_runs_leaves_the_total_too() -> None:
    events = pipeline({"collect": 3.0})[:3]
    events[2]["steps"] = ["collect", "tune", "evaluate"]
    log = steps_of([*events, event(1.0, "step.finished", step="tune", status="skipped", duration_s=0.0)])
    assert [step.name for step in log.numbered] == ["collect", "evaluate"]


def test_a_pipeline_that_is_measured_twice_has_each_step_twice() -> None:
    events = pipeline({"collect": 3.0})
    events[0]["iterations"] = 2
    log = steps_of(events)
    assert [(step.name, step.turn, step.status) for step in log.numbered] == [
        ("collect", 1, "completed"),
        ("collect", 2, "pending"),
    ]


def test_iterations_taken_over_by_a_resume_need_no_steps() -> None:
    events = pipeline({"collect": 3.0})
    events[0]["iterations"] = 3
    events.insert(1, event(0.0, "run.resumed", resumed_from="r0", kept_iterations=2))
    assert len(steps_of(events).numbered) == 1


def test_a_step_taken_over_by_a_resume_is_not_one_that_was_run() -> None:
    events = pipeline({"collect": 3.0, "clone": 4.0})[:5]
    log = steps_of([*events, event(1.0, "step.finished", step="collect", status="reused", duration_s=3.0)])
    assert statuses(log)["collect"] == "reused"
    assert log.done == 1


def test_events_carried_over_from_another_run_are_not_this_run_s() -> None:
    carried = event(1.0, "step.finished", step="collect", status="completed", duration_s=3.0, carried_from="r0")
    log = steps_of([*pipeline({"collect": 3.0})[:5], carried])
    assert statuses(log)["collect"] == "pending"


def test_a_step_that_nobody_had_planned_is_a_step_nevertheless() -> None:
    log = steps_of([started(0, 1), phase(0.0, "setup"), event(1.0, "step.started", step="extra")])
    assert [step.name for step in log.steps] == ["setup", "extra", "report"]


def test_how_a_run_ended_is_how_its_last_work_ended() -> None:
    events = [started(), phase(0.0, "setup"), phase(1.0, "warmup"), phase(2.0, "report"), finished(3.0, "failed")]
    assert statuses(steps_of(events)) == {
        "setup": "completed",
        "warmup": "failed",
        "measure": "pending",
        "report": "completed",
    }


def test_where_the_process_was_lost_the_running_step_has_crashed() -> None:
    log = steps_of([started(), phase(0.0, "setup"), phase(1.0, "warmup")])
    log.lose()
    assert statuses(log) == {"setup": "completed", "warmup": "crashed", "measure": "pending", "report": "pending"}


def test_an_event_of_unknown_shape_is_passed_over() -> None:
    """Trap: one torn line breaks robot_sf's replay of all others."""
    events = whole_run(PHASES)
    events.insert(2, {"event": "phase.started"})
    assert statuses(steps_of(events))["measure"] == "completed"


def test_artifacts_are_kept_with_their_step() -> None:
    events = pipeline({"collect": 3.0})
    events[-1]["artifacts"] = ["steps/collect/a.npz"]
    assert steps_of(events).entries()[1]["artifacts"] == ["steps/collect/a.npz"]
