import pytest

from harness.errors import ConfigError
from harness.gates.decide.design import Design


def test_the_defaults_are_what_was_measured_to_hold() -> None:
    design = Design()
    assert (design.pairs, design.rounds, design.chunk, design.discard) == (7, 100, 5, 1)
    assert (design.tolerance, design.level, design.confirm, design.null) == (0.05, 0.99, True, True)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Design(tolerance=5, pairs=1, rounds=4)
    assert [problem.place for problem in caught.value.problems] == ["tolerance", "pairs", "rounds"]


@pytest.mark.parametrize(
    ("round_s", "rounds"), [(0.001, 100), (0.42, 100), (0.5, 85), (3.0, 10), (9.0, 5), (1000.0, 5), (0.0, 100)]
)
def test_rounds_that_take_long_are_fewer_but_a_whole_chunk_at_least(round_s: float, rounds: int) -> None:
    assert Design(budget_s=300.0).rounds_within(round_s) == rounds
