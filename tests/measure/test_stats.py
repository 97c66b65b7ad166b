import json
import math
import random
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.stats import QUANTILES, STATISTICS, needed_n, percentile, summarize

finite = st.floats(allow_nan=False, allow_infinity=False)
Draw = Callable[[random.Random], float]
# Each with its true mean and quantiles.
DISTRIBUTIONS: dict[str, tuple[Draw, float, Callable[[float], float]]] = {
    "normal": (lambda r: r.gauss(10.0, 2.0), 10.0, lambda q: statistics.NormalDist(10.0, 2.0).inv_cdf(q)),
    "lognormal": (
        lambda r: r.lognormvariate(0.0, 0.5),
        math.exp(0.125),
        lambda q: math.exp(statistics.NormalDist(0.0, 0.5).inv_cdf(q)),
    ),
    "exponential": (lambda r: r.expovariate(0.5), 2.0, lambda q: -2.0 * math.log(1 - q)),
}


def covered(name: str, stat: str, n: int, trials: int) -> tuple[float, float]:
    """How often the interval enclosed the truth, and how often it had both bounds."""
    draw, mean, quantile = DISTRIBUTIONS[name]
    truth = mean if stat == "mean" else quantile(QUANTILES[stat])
    chance = random.Random(f"{name} {stat} {n}")
    hits = whole = 0
    for _ in range(trials):
        low, high = summarize([draw(chance) for _ in range(n)])["ci"][stat]
        whole += low is not None and high is not None
        hits += (low is None or low <= truth) and (high is None or truth <= high)
    return hits / trials, whole / trials


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize(("stat", "n"), [("p50", 10), ("p90", 40)])
def test_percentile_intervals_cover_the_truth_whatever_the_distribution(name: str, stat: str, n: int) -> None:
    share, whole = covered(name, stat, n, 400)
    assert whole == 1
    assert share >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)


def test_mean_intervals_of_normal_samples_cover_as_often_as_they_say() -> None:
    share, _ = covered("normal", "mean", 8, 400)
    assert abs(share - 0.95) <= 3 * math.sqrt(0.95 * 0.05 / 400)


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize(("stat", "n"), [("p50", 6), ("p50", 101), ("p90", 100), ("p95", 130), ("p99", 662)])
def test_coverage_of_percentiles_holds_in_long_simulations(name: str, stat: str, n: int) -> None:
    trials = 2000
    share, whole = covered(name, stat, n, trials)
    assert whole == 1
    assert share >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("normal", 0.935), ("lognormal", 0.92), ("exponential", 0.90)])
def test_coverage_of_the_mean_holds_in_long_simulations(name: str, least: float) -> None:
    # Student's interval assumes near-normal means: for skewed samples at n = 30 it is known to fall some points short.
    share, _ = covered(name, "mean", 30, 4000)
    assert share >= least


def test_percentiles_are_of_type_7() -> None:
    values = [3.0, 1.0, 2.0, 4.0]
    found = summarize(values)
    assert found["p50"] == 2.5
    assert found["p90"] == pytest.approx(3.7)
    assert [percentile(sorted(values), q) for q in (0, 0.25, 1)] == [1.0, 1.75, 4.0]


def test_known_samples_give_known_statistics() -> None:
    found = summarize([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert found["n"] == 8
    assert found["mean"] == 5.0
    assert found["std"] == pytest.approx(math.sqrt(32 / 7))
    assert (found["min"], found["max"], found["sum"], found["last"]) == (2.0, 9.0, 40.0, 9.0)
    half = 2.3646 * math.sqrt(32 / 7) / math.sqrt(8)
    assert found["ci"]["mean"] == pytest.approx([5 - half, 5 + half], abs=1e-3)
    assert found["ci"]["p50"] == [2.0, 9.0]


def test_too_few_samples_have_null_bounds_and_no_extremes_have_intervals() -> None:
    found = summarize([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found["ci"]["p50"] == [None, None]
    assert found["ci"]["p99"][1] is None
    assert set(found["ci"]) == {"mean", "p50", "p90", "p95", "p99"}


def test_a_single_sample_has_a_value_and_claims_nothing() -> None:
    found = summarize([3.5])
    assert found["std"] is None
    assert all(None in bounds for bounds in found["ci"].values())
    assert not found["unstable"]


def test_recorded_intervals_stand_for_the_extremes_and_the_last() -> None:
    found = summarize([3.0, 1.0, 2.0], [2.5, 0.9, 1.8], [3.5, 1.2, 2.2])
    assert found["ci"]["min"] == [0.9, 1.2]
    assert found["ci"]["max"] == [2.5, 3.5]
    assert found["ci"]["last"] == [1.8, 2.2]


def test_recorded_intervals_replace_only_what_n_cannot_carry() -> None:
    values = [float(i) for i in range(1, 8)]
    found = summarize(values, [v - 0.5 for v in values], [v + 0.5 for v in values])
    assert found["ci"]["p50"] == [1.0, 7.0]
    assert found["ci"]["p99"] == pytest.approx([percentile(values, 0.99) - 0.5, percentile(values, 0.99) + 0.5])


def test_a_single_estimate_with_an_interval_carries_it_everywhere() -> None:
    found = summarize([2.0], [1.5], [2.75])
    assert all(bounds == [1.5, 2.75] for bounds in found["ci"].values())


def test_intervals_of_a_part_of_the_samples_are_not_used() -> None:
    assert "min" not in summarize([1.0, 2.0], [0.9, None], [1.1, None])["ci"]


def test_outliers_are_counted_by_the_fences() -> None:
    found = summarize([10.0, 10.5, 11.0, 11.5, 12.0, 12.5, 13.0, 18.0, 60.0])
    assert found["outliers"] == {"mild": 1, "severe": 1}


def test_scattered_samples_warn_and_say_what_to_try() -> None:
    found = summarize([10.0, 14.0, 9.0, 12.0, 300.0])
    assert found["unstable"]
    assert "measure.iterations" in found["warnings"][0]
    assert "measure.warmup" in found["warnings"][1]


def test_ten_percent_is_where_instability_begins() -> None:
    steady, scattered = [100.0 - 9.8, 100.0, 100.0 + 9.8], [100.0 - 10.2, 100.0, 100.0 + 10.2]
    assert not summarize(steady)["unstable"]
    assert summarize(scattered)["unstable"]


@pytest.mark.parametrize("kind", ["counter", "gauge"])
def test_counts_and_gauges_are_never_called_unstable(kind: str) -> None:
    found = summarize([0.0, 5.0, 100.0], kind=kind)
    assert not found["unstable"]
    assert found["warnings"] == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_refused_with_its_place(bad: float) -> None:
    with pytest.raises(ValueError, match=r"values\[1\]"):
        summarize([1.0, bad])


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        summarize([])


def test_sums_do_not_lose_small_terms() -> None:
    assert summarize([1e16, 1.0, -1e16])["sum"] == 1.0


def test_needed_samples_are_known_for_percentiles_and_the_mean_only() -> None:
    assert [needed_n(stat) for stat in ("mean", "p50", "p99", "max")] == [2, 6, 368, None]


@given(st.lists(finite, min_size=1, max_size=60))
def test_every_number_is_finite_or_null_and_in_order(values: list[float]) -> None:
    found = summarize(values)
    json.dumps(found, allow_nan=False)
    assert found["min"] <= found["p50"] <= found["p90"] <= found["p95"] <= found["p99"] <= found["max"]
    assert found["min"] <= found["mean"] <= found["max"]
    assert set(found) == {*STATISTICS, "ci", "outliers", "unstable", "warnings"}
    for name, (low, high) in found["ci"].items():
        assert low is None or high is None or low <= high, name


@given(st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=50))
def test_moments_agree_with_the_standard_library(values: list[float]) -> None:
    found = summarize(values)
    assert found["mean"] == pytest.approx(statistics.fmean(values), rel=1e-12)
    assert found["std"] == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-9)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=40))
def test_with_recorded_intervals_every_statistic_has_a_whole_one(samples: list[tuple[float, float, float]]) -> None:
    values = [value for value, _, _ in samples]
    found = summarize(values, [v - below for v, below, _ in samples], [v + above for v, _, above in samples])
    for name, (low, high) in found["ci"].items():
        assert low is not None, name
        assert low <= high + 1e-9, name


def test_the_order_of_samples_changes_only_the_last() -> None:
    values = [random.Random(4).gauss(5, 1) for _ in range(30)]
    forward, backward = summarize(values), summarize(values[::-1])
    assert {**forward, "last": None} == {**backward, "last": None}
    assert backward["last"] == values[0]
