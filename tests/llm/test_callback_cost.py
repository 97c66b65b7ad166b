"""The callback of an engine in this process, tried on a core of known times."""

import time
from typing import Any

import pytest

from harness.llm.callback_cost import callback_errors
from harness.llm.engines.call import Call
from harness.llm.load import ConstantRate, Users
from harness.llm.schedule import Schedule

ONE = Users(users=1, ramp_s=0.0, think_s=0.0).schedule(1, 0)
METRICS = {"llm.ttft_ms", "llm.itl_ms", "llm.e2e_ms", "llm.tpot_ms"}


def tried(schedule: Schedule) -> dict[str, float]:
    found = callback_errors(schedule, tokens=20, ttft_ms=5.0, gap_ms=2.0, seconds=0.4)
    assert found["answers"] >= 2
    return dict(found["plus_minus"])


@pytest.mark.parametrize("schedule", [ONE, Users(users=3, ramp_s=5.0, think_s=0.0).schedule(9, 0)])
def test_every_time_has_an_error_from_zero_up(schedule: Schedule) -> None:
    errors = tried(schedule)
    assert set(errors) == METRICS
    assert all(value >= 0 for value in errors.values())


def test_an_open_loop_is_tried_by_its_first_seconds() -> None:
    assert set(tried(ConstantRate(rate_per_s=20.0).schedule(1000, 0))) == METRICS


def test_a_slow_callback_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two milliseconds of work before the clock is read are two milliseconds of error."""
    quick = Call.note

    def slow(call: Call, chunk: Any) -> bool:
        until = time.monotonic_ns() + 2_000_000
        while time.monotonic_ns() < until:
            pass
        return quick(call, chunk)

    monkeypatch.setattr(Call, "note", slow)
    assert tried(ONE)["llm.ttft_ms"] >= 2
