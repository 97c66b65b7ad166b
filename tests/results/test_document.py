import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.instrument import InstrumentError
from harness.results import schema
from harness.results.document import is_sealed, main_metric, scenario_metrics, seal
from tests.results.documents import STEPS, a_result, series


def values_of(node: Any, name: str) -> Iterator[Any]:
    """Every value under a key, in the order of the document."""
    if isinstance(node, dict):
        if name in node:
            yield node[name]
        for item in node.values():
            yield from values_of(item, name)
    elif isinstance(node, list):
        for item in node:
            yield from values_of(item, name)


def test_a_result_is_valid_sealed_and_survives_json() -> None:
    result = a_result(rules=[{"metric": "step.latency_ms", "stat": "p95", "critical": "> 500"}])
    assert schema.validate(result, "result") == []
    assert is_sealed(result)
    assert is_sealed(json.loads(json.dumps(result)))


def test_raw_samples_and_their_statistics_stand_side_by_side() -> None:
    metric = a_result()["metrics"]["step.latency_ms"]
    assert metric["samples"] == STEPS
    assert metric["samples_total"] == metric["statistics"]["n"] == 10
    assert (metric["unit"], metric["kind"], metric["better"]) == ("ms", "histogram", "lower")


def test_more_samples_than_the_document_keeps_are_spread_over_the_run() -> None:
    values = [float(i) for i in range(25_000)]
    metric = a_result(measured={"other.rate": values})["metrics"]["other.rate"]
    assert len(metric["samples"]) == 10_000
    assert metric["samples_total"] == metric["statistics"]["n"] == 25_000
    assert metric["samples"][0] == 0.0
    assert metric["samples"][-1] == 24_997.0
    assert metric["samples"] == sorted(set(metric["samples"]))


def test_the_statistics_of_a_metric_come_before_anything_else_of_its_name() -> None:
    rules = [{"metric": "step.latency_ms", "stat": "p95", "critical": "> 500"}]
    config = {"metrics": {"step.latency_ms": {"unit": "ms"}}, "threshold": {"rules": rules}}
    result = a_result({"config": config}, rules=rules, telemetry={"step.latency_ms": {"p95": 1.0}})
    first = next(values_of(result, "step.latency_ms"))
    assert next(values_of(first, "p95")) == result["metrics"]["step.latency_ms"]["statistics"]["p95"]


def test_a_metric_without_a_finite_sample_is_absent_rather_than_empty() -> None:
    assert a_result(measured={"step.latency_ms": series([])})["metrics"] == {}


def test_a_number_that_json_does_not_have_becomes_null_with_a_warning() -> None:
    result = a_result(telemetry={"sensors": {"gpu.load": {"value": float("nan")}}})
    assert result["telemetry"]["sensors"]["gpu.load"]["value"] is None
    assert "telemetry.sensors.gpu.load.value was nan and is stored as null" in result["warnings"]
    assert schema.validate(result, "result") == []


def test_unstable_metrics_share_one_warning_with_the_advice_once() -> None:
    scattered = [10.0, 11.0, 10.5, 10.0, 90.0]
    result = a_result(
        measured={"step.latency_ms": scattered, "iteration.duration_ms": scattered, "other.rate": [1.0, 9.0]}
    )
    unstable, outliers = result["warnings"]
    assert unstable.startswith(
        "2 metrics unstable (standard deviation over mean): iteration.duration_ms 135 %, step.latency_ms 135 %;"
    )
    assert outliers.startswith(
        "2 metrics with far outliers (share of the samples): iteration.duration_ms 20 %, step.latency_ms 20 %;"
    )
    assert "measure.iterations" in unstable


@pytest.mark.parametrize(("failed", "rate"), [(0, 0.0), (3, 0.3), (10, 1.0)])
def test_the_error_rate_is_failed_over_completed(failed: int, rate: float) -> None:
    assert a_result(failed=failed)["iterations"]["error_rate"] == rate


def test_recorded_intervals_reach_the_statistics() -> None:
    values = series([2.0, 3.0], [1.5, 2.5], [2.5, 3.5])
    ci = a_result(measured={"other.rate": values})["metrics"]["other.rate"]["statistics"]["ci"]
    assert (ci["min"], ci["max"]) == ([1.5, 2.5], [2.5, 3.5])


PLACES = [
    ("status", "failed"),
    ("exit_code", 1),
    ("metrics.step.latency_ms.samples.3", 9.0),
    ("config.scenario.epochs", 4),
    ("digests.config", "0" * 64),
    ("verdict.level", "pass"),
]


@pytest.mark.parametrize(("place", "value"), PLACES)
def test_any_change_breaks_the_seal(place: str, value: Any) -> None:
    result = copy.deepcopy(a_result())
    node: Any = result
    *path, last = place.replace("step.latency_ms", "step~latency_ms").split(".")
    for part in path:
        node = node[int(part)] if part.isdigit() else node[part.replace("~", ".")]
    node[int(last) if last.isdigit() else last] = value
    assert not is_sealed(result)
    assert is_sealed(seal(result))


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30))
def test_every_series_gives_a_valid_document(values: list[float]) -> None:
    result = a_result(measured={"step.latency_ms": values})
    assert schema.validate(result, "result") == []
    assert is_sealed(json.loads(json.dumps(result, allow_nan=False)))


def test_the_short_document_has_the_numbers_of_the_long_one() -> None:
    result = a_result(rules=[{"event": "run.started", "critical": "> 1"}])
    short = scenario_metrics(result)
    assert schema.validate(short, "scenario_metrics") == []
    assert short["metrics"]["step.latency_ms"]["p95"] == result["metrics"]["step.latency_ms"]["statistics"]["p95"]
    assert (short["host"], short["verdict"], short["events"]) == ("bench-1", "pass", {"run.started": 1})


def test_the_main_metric_is_the_first_that_a_rule_judges() -> None:
    measured = {"other.rate": [1.0], "iteration.duration_ms": [2.0], "step.latency_ms": [3.0]}
    rule = {"metric": "step.latency_ms", "stat": "mean", "critical": "> 5"}
    lost = {"metric": "step.late_total", "stat": "mean", "critical": "> 5"}
    assert main_metric(a_result(measured=measured, rules=[lost, rule])) == "step.latency_ms"
    assert main_metric(a_result(measured=measured)) == "iteration.duration_ms"
    assert main_metric(a_result(measured={"other.rate": [1.0]})) == "other.rate"
    assert main_metric(a_result(measured={})) is None


def blurred(plus_minus: float) -> dict[str, Any]:
    """A result whose metric was measured with an instrument of this error, judged by a rule that it would pass."""
    return a_result(
        rules=[{"metric": "step.latency_ms", "stat": "p95", "critical": "> 500"}],
        instrument={
            "step.latency_ms": InstrumentError(plus_minus, "replayed"),
            "never.recorded": InstrumentError(1, ""),
        },
    )


def test_the_error_of_the_instrument_stands_beside_the_metric() -> None:
    result = blurred(0.3)
    assert schema.validate(result, "result") == []
    error = result["metrics"]["step.latency_ms"]["error"]
    assert (error["plus_minus"], error["share"], error["measurable"]) == (0.3, pytest.approx(0.025), True)
    assert result["unmeasurable"] == []
    assert scenario_metrics(result)["metrics"]["step.latency_ms"]["plus_minus"] == 0.3
    assert schema.validate(scenario_metrics(result), "scenario_metrics") == []


def test_a_result_with_a_metric_that_is_not_measurable_is_stamped() -> None:
    result = blurred(0.7)
    assert schema.validate(result, "result") == []
    assert result["unmeasurable"] == ["step.latency_ms"]
    assert result["verdict"]["level"] == "inconclusive"
    assert result["warnings"][0].startswith("not measurable here: step.latency_ms ± 0.7 ms is 5.83 % of its median")
    assert result["verdict"]["messages"] == ["not measurable here: step.latency_ms; the first warning says why"]


def test_results_from_before_the_stamp_are_still_valid() -> None:
    result = {key: value for key, value in a_result().items() if key != "unmeasurable"}
    assert schema.validate(seal(result), "result") == []
