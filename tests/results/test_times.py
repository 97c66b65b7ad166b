from datetime import UTC, datetime

import pytest

from harness.results.times import epoch, now, parse_when, said

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds_before"),
    [("2d", 172_800), ("3h", 10_800), ("90m", 5_400), ("45s ago", 45), ("1.5 h", 5_400), ("1w", 604_800)],
)
def test_an_age_counts_back_from_now(text: str, seconds_before: float) -> None:
    assert parse_when(text, at=AT) == AT.timestamp() - seconds_before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22", "2026-11-22T00:00:00Z"),
        ("2026-11-22T09:30", "2026-11-22T09:30:00Z"),
        ("2026-11-22 09:30:15.5", "2026-11-22T09:30:15.5Z"),
        ("2026-11-22T09:30+02:00", "2026-11-22T07:30:00Z"),
        ("2026-11-22T09:30Z", "2026-11-22T09:30:00Z"),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, expected: str) -> None:
    assert parse_when(text) == epoch(expected)


def test_a_date_as_an_end_counts_whole() -> None:
    assert parse_when("2026-11-22", end=True) == epoch("2026-11-23")


@pytest.mark.parametrize("text", ["", "yesterday", "3 fortnights", "2026-13-01", "9999999999999w"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="an age such as 3h or 2d"):
        parse_when(text)


def test_stored_times_sort_as_text_and_are_shown_to_the_second() -> None:
    first, second = now(), now()
    assert first <= second
    assert len(first) == 27
    assert said("2026-11-22T09:30:15.500000Z") == "2026-11-22 09:30:15"
    assert said(None) == "-"
