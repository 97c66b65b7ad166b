import pytest

from harness.controlloop.deadline import StepDeadline
from harness.errors import BenchmarkFailed


@pytest.mark.parametrize(
    ("latencies", "deadline_ms"), [([1.0, 1.0, 90.0], 50.0), ([4.0, 5.0, 6.0], 100.0), ([2.5], 50.0)]
)
def test_the_deadline_is_a_multiple_of_the_median_but_not_below_the_least(
    latencies: list[float], deadline_ms: float
) -> None:
    assert StepDeadline(times_median=20, at_least_ms=50).calibrate(latencies) == deadline_ms


def test_without_steps_there_is_no_deadline() -> None:
    with pytest.raises(BenchmarkFailed, match="at least one undisturbed step"):
        StepDeadline(times_median=20, at_least_ms=50).calibrate([])
