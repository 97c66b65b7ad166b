import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.llm.limit import longest


@given(limit=st.integers(10, 5000), guess=st.integers(1, 9000))
def test_the_limit_is_exact_from_any_guess(limit: int, guess: int) -> None:
    tries: list[int] = []

    def fits(length: int) -> bool:
        tries.append(length)
        return length <= limit

    assert longest(fits, guess, 1, 8192) == (limit, limit + 1)
    near = abs(min(max(guess, 1), 8192) - limit) + 2
    assert len(tries) <= 2 * math.log2(near) + 4


@pytest.mark.parametrize(("limit", "found"), [(5, (None, 10)), (10, (10, 11)), (100, (100, None)), (99, (99, 100))])
def test_what_lies_outside_the_range_stays_unknown(limit: int, found: tuple[int | None, int | None]) -> None:
    assert longest(lambda length: length <= limit, 50, 10, 100) == found
