"""Calls in line do the same work and tell a late one afterwards, with its whole latency."""

import time

import pytest

from harness.errors import DeadlineExceeded
from harness.process.calls import CallRecord
from harness.process.inline import InlineCalls


def test_results_errors_and_late_calls_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    records: list[CallRecord] = []
    calls = InlineCalls(records.append)
    ticks = iter([0, 1_000, 2_000, 10_000, 11_000, 20_000_000, 5_000_000_000, 5_000_000_001])
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(ticks))
    assert calls.call(len, "four", deadline_s=1.0) == 4
    with pytest.raises(TypeError):
        calls.call(len, 4, deadline_s=1.0)
    with pytest.raises(DeadlineExceeded):
        calls.call(len, "four", deadline_s=1.0)
    assert [record.outcome for record in records] == ["completed", "failed", "timed_out"]
    assert not records[-1].censored
    assert records[-1].latency_s > 1.0
    assert calls.counts == {"submitted": 3, "completed": 1, "failed": 1, "timed_out": 1}


def test_a_submitted_call_has_ended_when_its_handle_is_given_out() -> None:
    records: list[CallRecord] = []
    calls = InlineCalls(records.append)
    good = calls.submit(len, "four", deadline_s=60.0)
    bad = calls.submit(len, 4, deadline_s=60.0, name="counts nothing")
    late = calls.submit(sorted, range(100_000), deadline_s=1e-9)
    assert [handle.done() for handle in (good, bad, late)] == [True] * 3
    good.cancel()
    assert (good.result(), good.cancelled()) == (4, False)
    assert isinstance(bad.exception(), TypeError)
    assert isinstance(late.exception(), DeadlineExceeded)
    assert [(record.name, record.outcome) for record in records] == [
        ("len", "completed"), ("counts nothing", "failed"), ("sorted", "timed_out"),
    ]  # fmt: skip
    assert calls.counts == {"submitted": 3, "completed": 1, "failed": 1, "timed_out": 1}
