import pytest

from harness.measure.instrument import InstrumentError, assess, refusal


@pytest.mark.parametrize(
    ("plus_minus", "median", "share", "measurable"),
    [
        (0.5, 50.0, 0.01, True),
        (2.5, 50.0, 0.05, True),
        (2.6, 50.0, 0.052, False),
        (2.6, -50.0, 0.052, False),
        (0.0, 0.0, None, True),
        (1e-9, 0.0, None, False),
    ],
)
def test_an_error_is_measured_against_the_median(
    plus_minus: float, median: float, share: float | None, measurable: bool
) -> None:
    found = assess(InstrumentError(plus_minus, "replayed"), median, 0.05)
    assert (found["share"], found["measurable"]) == (pytest.approx(share), measurable)


def test_a_refusal_says_error_share_limit_and_basis() -> None:
    metric = {"unit": "ms", "error": assess(InstrumentError(4.0, "replayed on a truth server"), 50.0, 0.05)}
    assert refusal("llm.ttft_ms", metric) == (
        "not measurable here: llm.ttft_ms ± 4 ms is 8 % of its median, over the limit of 5 % "
        "(replayed on a truth server)"
    )


def test_a_metric_without_a_known_error_is_not_refused() -> None:
    assert refusal("llm.ttft_ms", {"unit": "ms"}) is None
