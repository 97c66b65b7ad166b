from random import Random

from harness.gates.decide.series import drift, outliers, slow_start


def noisy(count: int, seed: int = 0) -> list[float]:
    random = Random(seed)
    return [1 + random.gauss(0, 0.01) for _ in range(count)]


def test_outliers_are_told_apart_by_side_and_size() -> None:
    values = [10.0, 10.1, 10.2, 10.3, 9.9, 9.8, 10.0, 10.1, 9.0, 5.0, 11.0, 20.0]
    assert outliers(values) == {"low_severe": 1, "low_mild": 1, "high_mild": 1, "high_severe": 1}


def test_a_few_values_have_no_outliers() -> None:
    assert sum(outliers([1.0, 100.0, 1.0]).values()) == 0


def test_a_slow_beginning_is_counted() -> None:
    assert 6 <= slow_start([1.5] * 8 + noisy(92)) <= 10


def test_an_even_series_has_no_slow_beginning() -> None:
    assert [slow_start(noisy(100, seed)) for seed in range(20)] == [0] * 20


def test_a_faster_beginning_is_no_warm_up() -> None:
    assert slow_start([0.5] * 8 + noisy(92)) == 0


def test_a_drift_is_found_with_its_size() -> None:
    values = [value * (1 + 0.1 * i / 100) for i, value in enumerate(noisy(100))]
    found = drift(values)
    assert found.is_real
    assert 0.08 < found.share < 0.12


def test_a_downward_drift_is_negative() -> None:
    values = [value * (1 - 0.1 * i / 100) for i, value in enumerate(noisy(100))]
    assert drift(values).share < -0.05


def test_noise_is_no_drift() -> None:
    assert sum(drift(noisy(100, seed)).is_real for seed in range(50)) <= 3


def test_long_series_are_thinned_and_still_show_their_drift() -> None:
    values = [value * (1 + 0.1 * i / 5000) for i, value in enumerate(noisy(5000))]
    assert drift(values).is_real


def test_too_few_values_say_nothing() -> None:
    assert slow_start([5.0, 1.0, 1.0]) == 0
    assert not drift([1.0, 2.0, 3.0]).is_real
