import pytest

from harness.gates.decide.design import Design
from harness.gates.decide.noise import noise_of, resampled
from tests.gates.decide.test_decision import pairs

DESIGN = Design()


def test_the_difference_between_processes_is_found() -> None:
    noise = noise_of(pairs(0.0, between=0.018, within=0.002, count=60), DESIGN, trials=5)
    assert noise.between_pairs == pytest.approx(0.018, rel=0.25)
    assert noise.within_pair < 0.002
    assert noise.bias.pairs == noise.pairs == 60


def test_alarms_are_counted_over_draws_of_real_pairs() -> None:
    calm = noise_of(pairs(0.0, count=20), DESIGN, trials=50)
    assert calm.false_alarms == 0
    assert calm.false_alarms_high == pytest.approx(1 - 0.05 ** (1 / 50))
    biased = noise_of(pairs(0.1, count=20), DESIGN, trials=50)
    assert biased.false_alarms == 1


def test_a_draw_holds_each_pair_once() -> None:
    decisions = resampled(pairs(0.0, count=20), DESIGN, 5, trials=3)
    assert [decision.pairs for decision in decisions] == [5] * 3


def test_one_pair_has_no_noise_to_speak_of() -> None:
    with pytest.raises(ValueError, match="two pairs"):
        noise_of(pairs(0.0, count=1), DESIGN)
