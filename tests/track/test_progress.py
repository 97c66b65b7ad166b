"""Where a run is, at every moment, and what was said of its end beside what came."""

from typing import Any

import pytest

from harness.results.steps import StepLog
from harness.track.eta import Expected
from harness.track.learned import Learned
from harness.track.progress import EXPECTED, Tracker
from harness.track.reporter import PROGRESS, Reporter
from tests.track.events import BEGUN_S, event, finished, phase, pipeline, started, whole_run

PHASES = {"setup": 1.0, "warmup": 3.0, "measure": 10.0, "report": 1.0}


def expected(steps: dict[str, float], kind: str = "phase") -> dict[str, Any]:
    known = {f"{kind}:{name}": Expected(seconds, 0.1, 5) for name, seconds in steps.items()}
    return event(0.0, EXPECTED, **Learned(known, 5).told())


def tracked(events: list[dict[str, Any]]) -> Tracker:
    tracker = Tracker()
    for each in events:
        tracker(each)
    return tracker


def test_before_anything_began_there_is_no_progress() -> None:
    assert Tracker().at(BEGUN_S) is None
    assert tracked([started()]).at(BEGUN_S) is None


def test_each_step_has_its_number_among_those_that_count() -> None:
    found = tracked([started(0), phase(0.0, "setup"), phase(1.0, "measure", iterations=10)]).at(BEGUN_S + 5.0)
    assert found is not None
    assert (found.number, found.total, found.name, found.elapsed_s) == (2, 3, "measure", 5.0)


def test_without_history_no_estimate_is_made_up() -> None:
    """Trap: a step without a known duration counts as 0 seconds in robot_sf."""
    found = tracked([started(), phase(0.0, "setup")]).at(BEGUN_S)
    assert found is not None
    assert (found.eta, found.why_not) == (None, "no history")


def test_a_step_without_history_is_named() -> None:
    steps = {name: seconds for name, seconds in PHASES.items() if name != "measure"}
    found = tracked([started(), expected(steps), phase(0.0, "setup")]).at(BEGUN_S)
    assert found is not None
    assert found.why_not == "no history of measure"


def test_without_history_the_step_s_own_progress_still_tells_of_the_step() -> None:
    found = tracked([started(), phase(0.0, "measure", iterations=10)]).at(BEGUN_S + 4.0, done=2)
    assert found is not None
    assert found.step_eta_s == pytest.approx(16.0)


def test_the_end_is_what_is_left_of_the_running_step_and_those_to_come() -> None:
    found = tracked([started(), expected(PHASES), phase(0.0, "setup")]).at(BEGUN_S + 0.5)
    assert found is not None
    assert found.eta is not None
    assert found.eta.seconds == pytest.approx(14.5)


def test_a_pipeline_is_foreseen_before_it_has_told_its_steps() -> None:
    steps = {"step:collect": Expected(20.0, 0.1, 5), "phase:setup": Expected(1.0, 0.1, 5)}
    steps["phase:report"] = Expected(1.0, 0.1, 5)
    told = event(0.0, EXPECTED, **Learned(steps, 5).told())
    found = tracked([started(0, 1), told, phase(0.0, "setup")]).at(BEGUN_S)
    assert found is not None
    assert found.eta is not None
    assert (found.number, found.eta.seconds) == (0, pytest.approx(22.0))


def test_iterations_that_were_taken_over_are_neither_expected_nor_done() -> None:
    resumed = event(0.0, "run.resumed", resumed_from="r0", kept_iterations=5)
    events = [started(0, 10), resumed, expected(PHASES), phase(0.0, "setup"), phase(1.0, "measure", iterations=5)]
    found = tracked(events).at(BEGUN_S + 2.0, done=6)
    assert found is not None
    assert found.eta is not None
    assert (found.done, found.units) == (1, 5)
    assert found.eta.seconds == pytest.approx(5.0, abs=0.2)


def test_every_estimate_is_recorded_beside_what_came_of_it() -> None:
    events = whole_run(PHASES, slower=2.0)
    record = tracked([events[0], expected(PHASES), *events[1:]]).record()["eta"]
    assert [one["after"] for one in record["told"]] == [0, 1, 2, 3]
    assert record["told"][0]["actual_s"] == pytest.approx(30.0)
    assert record["told"][0]["error"] == pytest.approx(-0.5)
    assert abs(record["error"]) < 0.1, "after two steps the speed of the run is known"


def test_a_run_that_did_not_complete_says_nothing_of_its_estimates() -> None:
    events = whole_run(PHASES)
    events[-1]["status"] = "cancelled"
    record = tracked([events[0], expected(PHASES), *events[1:]]).record()["eta"]
    assert record["error"] is None
    assert all(one["actual_s"] is None for one in record["told"])


def test_in_a_pipeline_the_second_step_is_that_of_the_pipeline() -> None:
    steps = {"collect": 4.0, "clone": 6.0, "tune": 10.0}
    known = {f"step:{name}": Expected(seconds, 0.1, 5) for name, seconds in steps.items()}
    known |= {f"phase:{name}": Expected(1.0, 0.1, 5) for name in ("setup", "report")}
    told = event(0.0, EXPECTED, **Learned(known, 5).told())
    events = [*pipeline(steps), phase(21.0, "report"), finished(22.0)]
    record = tracked([events[0], told, *events[1:]]).record()["eta"]
    second = next(one for one in record["told"] if one["after"] == 2)
    assert (second["step"], second["actual_s"]) == ("tune", pytest.approx(11.0))
    assert record["error"] == second["error"]


class Clock:
    """A clock that the test sets, for whoever asks."""

    now = 0.0
    completed = 0

    def __call__(self) -> float:
        return self.now


def test_events_tell_the_progress_at_step_edges_and_now_and_then() -> None:
    sent: list[dict[str, Any]] = []
    clock = Clock()
    reporter = Reporter(
        Tracker(lambda _: clock.now),
        lambda name, level, /, **facts: sent.append({"event": name, **facts}),
        clock,
        lambda: {"tree.rss_mb": 12.34, "tree.threads": 3.0},
        10.0,
        clock,
    )
    reporter(started(0, 100))
    reporter(phase(0.0, "measure", iterations=100))
    for clock.now in range(1, 25):
        clock.completed = 2 * clock.now
        reporter.tick()
    assert [each["event"] for each in sent] == [PROGRESS] * 3
    assert [each["done"] for each in sent] == [0, 20, 40]
    assert sent[1]["rate_per_s"] == 2.0
    assert sent[1]["sensors"] == {"tree.rss_mb": 12.3}


def test_a_log_without_events_has_no_steps() -> None:
    assert StepLog().numbered == []
