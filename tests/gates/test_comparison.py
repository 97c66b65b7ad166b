import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gates.comparison import OPERATORS, Comparison, parse

numbers = st.floats(-1e9, 1e9)
comparisons = st.builds(Comparison, st.sampled_from(sorted(OPERATORS)), numbers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("> 500", Comparison(">", 500.0)),
        ("!= 1", Comparison("!=", 1.0)),
        (">= 1e6", Comparison(">=", 1e6)),
        ("  <=-0.5 ", Comparison("<=", -0.5)),
        ("== .25", Comparison("==", 0.25)),
        ("<\t+3.E-2", Comparison("<", 0.03)),
    ],
)
def test_an_operator_and_a_number_are_read(text: str, expected: Comparison) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("500", 'write "> 500" or "< 500"'),
        (500, 'write "> 500"'),
        ("=> 5", "did you mean '>=' instead of '=>'"),
        ("= 5", "did you mean '=='"),
        ("≥ 5", "did you mean '>='"),
        ("> 5 ms", "units are not part of a limit"),
        ("> 5%", "units are not part of a limit"),
        ("~ 5", "the operators are"),
        ("> 1e999", "should be finite"),
        ("> nan", "an operator and a number"),
        ("", "an operator and a number"),
        (True, "should be a text"),
        (None, "should be a text"),
    ],
)
def test_anything_else_is_refused_with_what_to_write(text: object, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert hint in str(caught.value)


@given(comparisons)
def test_a_comparison_survives_being_written(comparison: Comparison) -> None:
    again = parse(str(comparison))
    assert again.operator == comparison.operator
    assert again.limit == pytest.approx(comparison.limit, rel=1e-11, abs=1e-300)


@pytest.mark.parametrize(
    ("text", "low", "high", "expected"),
    [
        ("> 5", 5.1, 6.0, True),
        ("> 5", 5.0, 6.0, None),
        ("> 5", 4.0, 5.0, False),
        (">= 5", 5.0, 6.0, True),
        ("< 5", 5.0, 6.0, False),
        ("<= 5", 5.0, 6.0, None),
        ("== 5", 5.0, 5.0, True),
        ("== 5", 4.0, 6.0, None),
        ("== 5", 6.0, 7.0, False),
        ("!= 5", 5.0, 5.0, False),
        ("!= 5", 4.0, 6.0, None),
        ("!= 5", 6.0, 7.0, True),
        ("> 5", None, 7.0, None),
        ("> 5", 6.0, None, None),
    ],
)
def test_an_interval_is_judged_as_a_whole(
    text: str, low: float | None, high: float | None, expected: bool | None
) -> None:
    assert parse(text).holds_for_interval(low, high) is expected


@given(comparisons, st.tuples(numbers, numbers).map(sorted), st.floats(0, 1))
def test_a_decided_interval_decides_each_number_in_it(
    comparison: Comparison, bounds: list[float], share: float
) -> None:
    low, high = bounds
    inside = min(max(low + share * (high - low), low), high)
    decided = comparison.holds_for_interval(low, high)
    assert decided is None or decided == comparison.holds(inside)


@given(comparisons, numbers)
def test_an_interval_without_width_is_a_number(comparison: Comparison, value: float) -> None:
    assert comparison.holds_for_interval(value, value) == comparison.holds(value)
