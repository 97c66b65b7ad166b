from typing import Any

import pytest

from harness.gates.judge import Finding, judge_rule
from harness.gates.thresholds import load_rules
from harness.measure.instrument import InstrumentError
from tests.results.documents import a_result, series

METRIC = "step.latency_ms"


def judged(rule: dict[str, Any], values: Any = None, **parts: Any) -> Finding:
    node = {"metric": METRIC, **rule} if "event" not in rule else rule
    measured = None if values is None else {METRIC: values}
    return judge_rule(load_rules({"rules": [node]})[0], a_result(measured=measured, **parts))


@pytest.mark.parametrize(
    ("value", "level"), [(349.0, "pass"), (350.0, "warn"), (799.0, "warn"), (800.0, "fail"), (5000.0, "fail")]
)
def test_a_sample_rule_judges_the_samples_own_statistic(value: float, level: str) -> None:
    found = judged({"stat": "max", "warning": ">= 350", "critical": ">= 800"}, [100.0, value])
    assert found.level == level
    assert found.value == value
    assert found.n == 2


def test_the_message_says_statistic_value_unit_n_and_limit() -> None:
    found = judged({"stat": "max", "critical": "> 500"}, [1.0, 612.25])
    assert found.message == "step.latency_ms max 612.25 ms (n=2) reaches critical > 500"


def test_ten_samples_are_enough_for_a_sample_rule_on_p99() -> None:
    assert judged({"stat": "p99", "critical": "> 500"}).level == "pass"


@pytest.mark.parametrize(("count", "level"), [(0, "pass"), (1, "fail")])
def test_an_event_that_never_happened_counts_zero(count: int, level: str) -> None:
    events = {"restore.failed": count} if count else {}
    found = judged({"event": "restore.failed", "critical": "> 0"}, events=events)
    assert (found.level, found.value, found.n) == (level, count, None)


def test_an_event_that_must_happen_fails_when_absent() -> None:
    assert judged({"event": "epoch.ended", "critical": "< 3"}).level == "fail"


def test_a_missing_metric_is_never_a_pass() -> None:
    rule = {"metric": "other.rate", "stat": "mean", "critical": "> 1"}
    assert judged(rule).level == "inconclusive"
    assert judged({**rule, "by": "interval"}).level == "fail"
    assert judged(rule).message == "other.rate was not recorded"


def test_a_statistic_that_one_sample_does_not_have_is_inconclusive() -> None:
    found = judged({"stat": "std", "critical": "> 1"}, [5.0])
    assert (found.level, found.value, found.n) == ("inconclusive", None, 1)


@pytest.mark.parametrize(
    ("shift", "level"), [(0.0, "pass"), (4.0, "inconclusive"), (10.0, "warn"), (17.0, "inconclusive"), (40.0, "fail")]
)
def test_an_interval_rule_fails_only_when_the_whole_interval_lies_beyond(shift: float, level: str) -> None:
    values = [shift + 1.0 + 0.5 * i for i in range(10)]
    found = judged({"stat": "p50", "by": "interval", "warning": "> 8", "critical": "> 20"}, values)
    assert found.level == level
    assert found.interval == [values[1], values[8]]


def test_a_straddling_interval_says_about_how_many_samples_would_tell() -> None:
    found = judged({"stat": "mean", "by": "interval", "critical": "> 12.1"})
    assert found.level == "inconclusive"
    assert "straddles critical > 12.1; about n=" in found.message


def test_a_claim_about_a_high_percentile_needs_the_population_n() -> None:
    rule = {"stat": "p99", "by": "interval", "critical": "> 500"}
    found = judged(rule, [10.0 + i / 1000 for i in range(661)])
    assert found.level == "inconclusive"
    assert "needs n >= 662, here n=661" in found.message
    assert judged(rule, [10.0 + i / 1000 for i in range(662)]).level == "pass"


def test_a_null_bound_is_inconclusive_and_says_the_n_it_needs() -> None:
    found = judged({"stat": "p50", "by": "interval", "critical": "> 500"}, [1.0, 2.0, 3.0])
    assert found.level == "inconclusive"
    assert found.message == "step.latency_ms p50 2 ms (n=3): n=3 carries no whole interval of p50; it needs n >= 6"


def test_an_extreme_without_recorded_intervals_cannot_be_proved() -> None:
    found = judged({"stat": "max", "by": "interval", "critical": "> 500"})
    assert found.level == "inconclusive"
    assert "record one with each sample" in found.message


@pytest.mark.parametrize(
    ("stat", "limit", "level"),
    [("min", "< 2", "pass"), ("min", "< 2.2", "inconclusive"), ("min", "< 3.1", "fail"), ("max", "> 7", "fail")],
)
def test_extremes_use_the_recorded_interval_of_their_sample(stat: str, limit: str, level: str) -> None:
    values = series([5.0, 2.5, 8.0], [4.5, 2.1, 7.5], [5.5, 3.0, 8.5])
    assert judged({"stat": stat, "by": "interval", "critical": limit}, values).level == level


def test_a_busy_host_proves_nothing_and_still_fails_lost_metrics() -> None:
    rule = load_rules({"rules": [{"metric": METRIC, "stat": "p50", "by": "interval", "critical": "> 500"}]})[0]
    lost = load_rules({"rules": [{"metric": "gone", "stat": "p50", "by": "interval", "critical": "> 500"}]})[0]
    assert judge_rule(rule, a_result(), "the host was not quiet").level == "inconclusive"
    assert judge_rule(lost, a_result(), "the host was not quiet").level == "fail"


def test_the_entry_names_an_event_as_event() -> None:
    entry = judged({"event": "a.b", "critical": "> 0"}).as_dict()
    assert entry["event"] == "a.b"
    assert "metric" not in entry


def blurred(plus_minus: float, limit: float = 0.05) -> dict[str, Any]:
    """The parts of a document whose metric was measured with an instrument of this error."""
    error = InstrumentError(plus_minus, "replayed")
    return {"instrument": {METRIC: error}, "error_share_limit": limit}


@pytest.mark.parametrize(("plus_minus", "level"), [(0.0, "pass"), (0.5, "pass"), (0.7, "inconclusive")])
@pytest.mark.parametrize("by", ["sample", "interval"])
def test_a_metric_whose_instrument_errs_too_much_is_not_judged(plus_minus: float, level: str, by: str) -> None:
    found = judged({"stat": "p50", "critical": "> 500", "by": by}, [12.0] * 10, **blurred(plus_minus))
    assert found.level == level
    assert ("not measurable here" in found.message) == (level == "inconclusive")
    assert found.value == 12.0


def test_a_failure_that_the_instrument_cannot_carry_is_no_failure() -> None:
    assert judged({"stat": "p50", "critical": "> 1"}, [12.0] * 10, **blurred(0.7)).level == "inconclusive"


@pytest.mark.parametrize(
    ("limit", "level"), [("> 11", "fail"), ("> 11.8", "inconclusive"), ("> 12.2", "inconclusive"), ("> 13", "pass")]
)
def test_a_limit_within_the_error_of_a_value_is_straddled(limit: str, level: str) -> None:
    assert judged({"stat": "p50", "critical": limit}, [12.0] * 10, **blurred(0.5)).level == level


def test_an_interval_is_widened_by_the_error_of_the_instrument() -> None:
    rule = {"stat": "p50", "by": "interval", "critical": "> 12.3"}
    assert judged(rule, [12.0] * 10).level == "pass"
    found = judged(rule, [12.0] * 10, **blurred(0.5))
    assert (found.level, found.interval) == ("inconclusive", [11.5, 12.5])


def test_the_error_does_not_touch_how_many_samples_there_are() -> None:
    assert judged({"stat": "n", "critical": "< 10"}, [12.0] * 10, **blurred(5.0)).level == "pass"
