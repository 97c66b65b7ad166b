import sys
from random import Random

import pytest

from harness.gates.decide.history import last_change

pytest.importorskip("ruptures", reason="extra stats", exc_type=ImportError)


def runs(*pieces: tuple[int, float], noise: float = 0.01, seed: int = 0) -> list[float]:
    random = Random(seed)
    return [level * (1 + random.gauss(0, noise)) for count, level in pieces for _ in range(count)]


def test_a_step_is_found_with_its_place_and_size() -> None:
    found = last_change(runs((12, 1.0), (8, 1.1)))
    assert (found.verdict, found.at) == ("slower", 12)
    assert found.effect == pytest.approx(0.1, abs=0.02)
    assert found.p is not None
    assert found.p < 0.01


def test_a_step_down_is_faster_and_for_a_rate_slower() -> None:
    assert last_change(runs((12, 1.1), (8, 1.0))).verdict == "faster"
    assert last_change(runs((12, 1.1), (8, 1.0)), higher_is_better=True).verdict == "slower"


def test_only_the_last_of_several_changes_counts() -> None:
    found = last_change(runs((10, 1.0), (10, 1.5), (10, 1.3)))
    assert (found.verdict, found.at) == ("faster", 20)


def test_four_runs_are_no_history() -> None:
    found = last_change(runs((2, 1.0), (2, 2.0)))
    assert (found.verdict, found.at) == ("undecided", None)


def test_a_step_just_made_is_undecided_until_more_runs_have_seen_it() -> None:
    """Two runs of eight at another level are what chance does now and then, however clear it looks."""
    assert last_change(runs((6, 1.0), (2, 1.2))).verdict == "undecided"


def test_one_wild_run_is_no_change() -> None:
    values = runs((20, 1.0))
    values[19] = 2.0
    assert last_change(values).verdict in ("same", "undecided")


def test_a_real_change_within_half_the_tolerance_is_the_same() -> None:
    assert last_change(runs((15, 1.0), (15, 1.02), noise=0.002)).verdict == "same"


def test_counts_that_repeat_exactly_change_at_the_first_other_value() -> None:
    found = last_change([100.0] * 8 + [105.0] * 8)
    assert (found.verdict, found.at) == ("slower", 8)


def test_histories_without_a_change_hardly_ever_alarm() -> None:
    verdicts = [last_change(runs((20, 1.0), noise=0.1, seed=seed)).verdict for seed in range(60)]
    assert sum(verdict in ("slower", "faster") for verdict in verdicts) <= 2


def test_without_the_library_there_is_no_answer_and_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    found = last_change(runs((12, 1.0), (8, 1.1)))
    assert found.verdict == "undecided"
    assert "stats" in found.reason


def test_values_without_a_logarithm_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        last_change([1.0, 0.0, 1.0, 1.0, 1.0])
