import math
from random import Random

import pytest

from harness.gates.decide.decision import decide, wants_more
from harness.gates.decide.design import Design

DESIGN = Design()


def pairs(
    effect: float, *, between: float = 0.005, within: float = 0.005, count: int = 7, seed: int = 0
) -> list[list[float]]:
    """Log ratios of pairs whose true slowdown is known."""
    random = Random(seed)
    found = []
    for _ in range(count):
        centre = math.log1p(effect) + random.gauss(0, between)
        found.append([random.gauss(centre, within) for _ in range(20)])
    return found


@pytest.mark.parametrize(
    ("effect", "verdict"), [(0.05, "slower"), (0.02, "same"), (0.0, "same"), (-0.02, "same"), (-0.05, "faster")]
)
def test_the_verdict_follows_the_effect(effect: float, verdict: str) -> None:
    decision = decide(pairs(effect), DESIGN)
    assert decision.verdict == verdict
    assert decision.estimate == pytest.approx(effect, abs=0.01)
    assert decision.low is not None
    assert decision.high is not None
    assert decision.low < decision.estimate < decision.high


def test_a_change_below_half_the_tolerance_is_said_to_be_there_and_too_small() -> None:
    decision = decide(pairs(0.02, between=0.001, within=0.001), DESIGN)
    assert decision.verdict == "same"
    assert "there is a change" in decision.reason


def test_noise_that_hides_the_tolerance_is_undecided_with_what_would_help() -> None:
    decision = decide(pairs(0.0, between=0.06), DESIGN)
    assert decision.verdict == "undecided"
    assert decision.smallest_visible is not None
    assert decision.smallest_visible > DESIGN.tolerance
    assert decision.more is not None
    assert decision.more > 3


def test_the_pairs_that_are_asked_for_do_show_the_tolerance() -> None:
    first = decide(pairs(0.0, between=0.05, seed=3), DESIGN)
    assert first.more is not None
    after = decide(pairs(0.0, between=0.05, count=7 + first.more, seed=3), DESIGN)
    assert after.smallest_visible is not None
    assert after.smallest_visible < 1.5 * DESIGN.tolerance


def test_noise_beyond_any_number_of_pairs_is_said_so() -> None:
    assert decide(pairs(0.0, between=1.5), DESIGN).more is None


def test_a_significant_change_within_half_the_tolerance_is_no_alarm() -> None:
    """The lower bound alone would be one: with enough samples every difference is significant."""
    decision = decide(pairs(0.015, between=0.0001, within=0.0001), DESIGN)
    assert decision.low is not None
    assert decision.low > 0
    assert decision.verdict == "same"


def test_an_estimate_above_half_the_tolerance_is_no_alarm_while_the_interval_holds_zero() -> None:
    groups = [[0.06] * 20, [0.05] * 20, [0.06] * 20, [-0.04] * 20, [0.05] * 20, [-0.03] * 20, [0.05] * 20]
    decision = decide(groups, DESIGN)
    assert decision.estimate > DESIGN.tolerance / 2
    assert decision.verdict == "undecided"


def test_one_wild_pair_does_not_move_the_estimate() -> None:
    groups = pairs(0.0)
    groups[3] = [0.5] * 20
    assert abs(decide(groups, DESIGN).estimate) < 0.02


def test_a_second_stage_is_taken_only_where_the_first_leaves_doubt() -> None:
    assert not wants_more(decide(pairs(0.0), DESIGN), DESIGN)
    assert wants_more(decide(pairs(0.02), DESIGN), DESIGN)
    assert wants_more(decide(pairs(0.03), DESIGN), DESIGN)
    assert wants_more(decide(pairs(-0.03), DESIGN), DESIGN)
    assert not wants_more(decide(pairs(0.1), DESIGN), DESIGN)
    assert not wants_more(decide(pairs(-0.1), DESIGN), DESIGN)
    assert wants_more(decide(pairs(0.0, between=0.06), DESIGN), DESIGN)


def test_the_same_data_give_the_same_decision() -> None:
    assert decide(pairs(0.03), DESIGN) == decide(pairs(0.03), DESIGN)


def test_the_tolerance_moves_the_verdict() -> None:
    groups = pairs(0.05)
    assert decide(groups, Design(tolerance=0.2)).verdict == "same"
    assert decide(groups, Design(tolerance=0.02)).verdict == "slower"


def test_swapped_arms_swap_the_verdict() -> None:
    mirrored = [[-chunk for chunk in group] for group in pairs(0.08)]
    assert decide(mirrored, DESIGN).verdict == "faster"


def test_a_few_chunks_of_one_process_decide_nothing() -> None:
    decision = decide([[0.1] * 7], DESIGN, shared=True)
    assert (decision.verdict, decision.low) == ("undecided", None)
    assert decide([[0.1] * 8], DESIGN, shared=True).verdict == "slower"


def test_nothing_cannot_be_decided_on() -> None:
    with pytest.raises(ValueError, match="at least one chunk"):
        decide([], DESIGN)
    with pytest.raises(ValueError, match="at least one chunk"):
        decide([[0.1], []], DESIGN)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("between", [0.0, 0.006, 0.018])
@pytest.mark.parametrize("count", [3, 7, 15])
def test_intervals_hold_the_true_effect_as_often_as_they_say(between: float, count: int) -> None:
    """Coverage of the 99 % interval by simulation; resampling few pairs without widening covers 90 % at 3 pairs."""
    trials = 300
    covered = 0
    for seed in range(trials):
        decision = decide(pairs(0.03, between=between, count=count, seed=seed), DESIGN, draws=800)
        assert decision.low is not None
        assert decision.high is not None
        covered += decision.low <= 0.03 <= decision.high
    assert covered / trials > 0.975


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_false_alarms_and_misses_are_as_rare_as_promised() -> None:
    """With processes that differ by 1.8 %: under 1 % false alarms, and at least 9 of 10 slowdowns of 5 % found."""
    trials = 600
    verdicts = {
        effect: [
            decide(pairs(effect, between=0.018, within=0.01, seed=seed), DESIGN, draws=800).verdict
            for seed in range(trials)
        ]
        for effect in (0.0, 0.05)
    }
    wrong = sum(verdict in ("slower", "faster") for verdict in verdicts[0.0])
    found = sum(verdict == "slower" for verdict in verdicts[0.05])
    assert wrong / trials < 0.01
    assert found / trials > 0.9
