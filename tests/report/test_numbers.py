import pytest

from harness.report.numbers import duration, number, with_interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (3, "3"),
        (12.0, "12"),
        (12.3456, "12.35"),
        (-0.0123456, "-0.01235"),
        (999.96, "1000"),
        (123456.78, "123457"),
        (1e6, "1.000e+06"),
        (12345678, "12345678"),
        (0.00001234, "1.234e-05"),
    ],
)
def test_numbers_have_four_significant_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (12.3456, [12.2, 12.4912], "12.35 ± 0.15"),
        (1000.6, [900.6, 1100.6], "1001 ± 100"),
        (12.0, [12.0, 12.0], "12 ± 0"),
        (2.0, [1.5, 4.0], "2 [1.500, 4]"),
        (2.0, [None, 4.0], "2"),
        (2.0, None, "2"),
        (None, [1.0, 2.0], "-"),
    ],
)
def test_an_interval_stands_beside_its_number(
    value: float | None, interval: list[float | None] | None, text: str
) -> None:
    assert with_interval(value, interval) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0421, "0.04 s"), (59.99, "59.99 s"), (200, "3 m 20 s"), (3599.7, "1 h 0 m"), (7530, "2 h 5 m")],
)
def test_time_spans_are_for_people(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
