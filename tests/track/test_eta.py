"""The estimate is learned, corrected by the run's own speed, and honest about its width."""

import math
import random
from collections.abc import Callable, Sequence

import pytest

from harness.track.eta import Current, Expected, Past, alike, estimate, learn

STEPS = [20.0, 60.0, 240.0, 30.0, 120.0, 10.0]


def known(seconds: float, spread: float = 0.1) -> Expected:
    return Expected(seconds, spread, 10)


def test_without_a_past_there_is_nothing_to_expect() -> None:
    assert learn([]).steps == {}


def test_the_newest_duration_weighs_three_tenths() -> None:
    found = learn([{"a": 10.0}, {"a": 20.0}]).steps["a"]
    assert (found.seconds, found.runs) == (pytest.approx(13.0), 2)


def test_runs_that_differ_as_a_whole_are_told_from_steps_that_differ_among_themselves() -> None:
    whole = learn([{"a": 10.0, "b": 30.0}, {"a": 20.0, "b": 60.0}] * 5)
    apart = learn([{"a": 10.0, "b": 30.0}, {"a": 30.0, "b": 10.0}] * 5)
    assert whole.speed_spread > 0.4 > apart.speed_spread
    assert whole.steps["a"].spread < 0.15 < apart.steps["a"].spread


def test_two_lucky_runs_do_not_promise_certainty() -> None:
    found = learn([{"a": 10.0}] * 3)
    assert found.speed_spread > 0.15
    assert found.steps["a"].spread > 0.1


def test_a_run_that_is_slower_stretches_what_is_to_come() -> None:
    """Trap: the weighted mean alone is never within 20 % on a machine three times slower."""
    found = estimate([(known(20), 60.0), (known(60), 180.0)], None, [known(240)])
    assert found is not None
    assert found.seconds == pytest.approx(720.0, rel=0.1)


def test_a_short_set_up_says_little_of_the_hours_to_come() -> None:
    found = estimate([(known(0.005), 0.015)], None, [known(3600)])
    assert found is not None
    assert found.seconds == pytest.approx(3600, rel=0.05)


def test_the_time_spent_in_the_running_step_is_subtracted() -> None:
    """Trap: robot_sf never subtracts it."""
    early, late = (estimate([], Current(known(100), spent), []) for spent in (10.0, 60.0))
    assert early is not None
    assert late is not None
    assert (early.seconds, late.seconds) == (pytest.approx(90.0), pytest.approx(40.0))


def test_progress_lengthens_an_expectation_that_has_run_out() -> None:
    found = estimate([], Current(known(100), 150.0, share=0.5), [])
    assert found is not None
    assert found.seconds == pytest.approx(150.0)


def test_a_step_that_should_be_over_leaves_only_those_to_come() -> None:
    found = estimate([], Current(known(100), 150.0), [known(20)])
    assert found is not None
    assert found.seconds == pytest.approx(20.0)


def test_the_bounds_hold_the_middle_and_narrow_as_steps_end() -> None:
    first = estimate([], Current(known(20), 0.0), [known(240)])
    second = estimate([(known(20), 20.0)], Current(known(240), 200.0, share=0.8), [])
    assert first is not None
    assert second is not None
    for found in (first, second):
        assert found.low_s <= found.seconds <= found.high_s
    assert second.high_s - second.low_s < first.high_s - first.low_s


def test_a_rest_of_nothing_has_bounds_of_a_tenth_of_a_second_or_so() -> None:
    found = estimate([(known(20), 20.0)], Current(known(0.05), 0.05), [])
    assert found is not None
    assert found.seconds == 0.0
    assert 0.0 < found.high_s < 1.0


Simulated = Callable[[Sequence[Sequence[float]], Sequence[float]], float]


def share_within(estimator: Simulated, run_noise: float, step_noise: float, slower: float, trials: int = 600) -> float:
    """How often the rest after the second step was within 20 %, as in reference/tracking.md section 4."""
    chance, inside = random.Random(1), 0

    def run(speed: float) -> list[float]:
        own = speed * math.exp(chance.gauss(0, run_noise))
        return [own * step * math.exp(chance.gauss(0, step_noise)) for step in STEPS]

    for _ in range(trials):
        past, now = [run(1.0) for _ in range(10)], run(slower)
        left = sum(now[2:])
        inside += abs(estimator(past, now[:2]) / left - 1) <= 0.2
    return inside / trials


def ours(past: Sequence[Sequence[float]], done: Sequence[float]) -> float:
    known = learned(past)
    begun = {str(i): seconds for i, seconds in enumerate(done)}
    steps = list(alike(known.steps, by_key(past), begun).values())
    found = estimate(list(zip(steps, done, strict=False)), None, steps[2:], known.speed_spread)
    assert found is not None
    return found.seconds


def learned(past: Sequence[Sequence[float]]) -> Past:
    return learn(by_key(past))


def by_key(past: Sequence[Sequence[float]]) -> list[dict[str, float]]:
    return [{str(i): seconds for i, seconds in enumerate(run)} for run in past]


def speed_alone(past: Sequence[Sequence[float]], done: Sequence[float]) -> float:
    known = learned(past)
    steps = list(known.steps.values())
    found = estimate(list(zip(steps, done, strict=False)), None, steps[2:], known.speed_spread)
    assert found is not None
    return found.seconds


def mean_of_done(past: Sequence[Sequence[float]], done: Sequence[float]) -> float:
    return sum(done) / 2 * 4


def weighted_mean(past: Sequence[Sequence[float]], done: Sequence[float]) -> float:
    return sum(step.seconds for step in list(learned(past).steps.values())[2:])


def test_on_a_quiet_host_nearly_every_estimate_is_within_a_fifth() -> None:
    assert share_within(ours, 0.05, 0.05, 1.0) > 0.97


@pytest.mark.parametrize("slower", [1.0, 3.0])
def test_noise_and_a_slower_machine_leave_most_of_them_there(slower: float) -> None:
    """Trap: the mean of the steps so far is within 20 % in 0 %, the weighted mean alone in 0 % on a slower machine."""
    found = share_within(ours, 0.2, 0.1, slower)
    assert found > 0.8
    assert share_within(mean_of_done, 0.2, 0.1, slower) < 0.05
    assert share_within(weighted_mean, 0.2, 0.1, slower) < (0.75 if slower == 1.0 else 0.05)


def test_what_other_work_slows_down_it_slows_down_as_the_last_time() -> None:
    """Trap: one speed for all steps, where a busy host slows those that compute, and not those that wait for a disk."""
    chance, quiet = random.Random(2), STEPS
    busy = [(4.0 if i < 2 else 1.6) * step for i, step in enumerate(STEPS)]

    def run(kind: Sequence[float]) -> list[float]:
        return [step * math.exp(chance.gauss(0, 0.05)) for step in kind]

    inside = {ours: 0, speed_alone: 0, weighted_mean: 0}
    for _ in range(200):
        past = [run(chance.choice((quiet, busy))) for _ in range(10)]
        now = run(quiet)
        for estimator in inside:
            inside[estimator] += abs(estimator(past, now[:2]) / sum(now[2:]) - 1) <= 0.2
    assert inside[ours] > 180
    assert inside[speed_alone] < 100
    assert inside[weighted_mean] < 100


def test_a_past_that_shares_no_step_with_what_is_done_changes_nothing() -> None:
    steps = {"a": known(20), "b": known(60)}
    assert alike(steps, [{"b": 30.0}], {"a": 10.0}) is steps
    assert alike(steps, [], {"a": 10.0}) is steps
    assert alike(steps, [{"a": 20.0}], {"a": 20.0})["b"] == steps["b"]
