import itertools
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BenchmarkFailed
from harness.llm.load import Burst, ConstantRate, Load, PoissonRate, Ramp, Users
from harness.llm.trace import Trace

S = 1_000_000_000


def test_users_begin_spread_over_the_ramp() -> None:
    schedule = Users(users=4, ramp_s=2.0, think_s=0.5).schedule(100, 0)
    assert schedule.starts_ns == (0, S // 2, S, 3 * S // 2)
    assert schedule.think_ns == S // 2


def test_more_users_than_requests_do_not_stand_by() -> None:
    assert Users(users=8, ramp_s=0.0, think_s=0.0).schedule(3, 0).users == 3


def test_a_constant_rate_has_even_distances_and_begins_at_once() -> None:
    assert ConstantRate(rate_per_s=4.0).schedule(4, 0).offsets_ns == (0, S // 4, S // 2, 3 * S // 4)


def test_a_random_rate_has_the_mean_and_the_spread_of_independent_arrivals() -> None:
    offsets = PoissonRate(rate_per_s=50.0).schedule(20_000, 7).offsets_ns
    pauses = [(after - before) / S for before, after in itertools.pairwise((0, *offsets))]
    mean = fmean(pauses)
    spread = fmean((pause - mean) ** 2 for pause in pauses) ** 0.5
    assert mean == pytest.approx(1 / 50, rel=0.03)
    assert spread / mean == pytest.approx(1.0, rel=0.05)  # exponential: as wide as its mean


def test_the_seed_alone_decides_random_times() -> None:
    shape = PoissonRate(rate_per_s=5.0)
    assert shape.schedule(50, 3) == shape.schedule(50, 3)
    assert shape.schedule(50, 3) != shape.schedule(50, 4)
    assert shape.schedule(80, 3).offsets_ns[:50] == shape.schedule(50, 3).offsets_ns


def test_a_burst_comes_at_one_moment() -> None:
    assert Burst(size=3, every_s=2.0).schedule(7, 0).offsets_ns == (0, 0, 0, 2 * S, 2 * S, 2 * S, 4 * S)


@pytest.mark.parametrize(("low", "high"), [(1.0, 9.0), (9.0, 1.0), (0.0, 8.0), (8.0, 0.0), (5.0, 5.0)])
def test_a_ramp_has_its_rates_at_its_ends(low: float, high: float) -> None:
    offsets = Ramp(from_per_s=low, to_per_s=high).schedule(2001, 0).offsets_ns
    span = offsets[-1] / S
    first = sum(at <= 0.1 * offsets[-1] for at in offsets) / (0.1 * span)
    last = sum(at >= 0.9 * offsets[-1] for at in offsets) / (0.1 * span)
    assert len(offsets) / span == pytest.approx((low + high) / 2, rel=0.01)
    assert first == pytest.approx(low + 0.05 * (high - low), rel=0.05)
    assert last == pytest.approx(high - 0.05 * (high - low), rel=0.05)


def test_a_ramp_from_nothing_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="sends nothing"):
        Ramp(from_per_s=0.0, to_per_s=0.0)


SHAPES = [
    ConstantRate(rate_per_s=3.0),
    PoissonRate(rate_per_s=3.0),
    Burst(size=4, every_s=1.0),
    Ramp(from_per_s=0.0, to_per_s=7.0),
    Ramp(from_per_s=7.0, to_per_s=0.0),
]


@given(st.sampled_from(SHAPES), st.integers(1, 300), st.integers(0, 5))
def test_open_loops_have_a_time_for_each_request_and_never_go_back(shape: Load, requests: int, seed: int) -> None:
    schedule = shape.schedule(requests, seed)
    offsets = getattr(schedule, "offsets_ns")  # noqa: B009 - only open loops have them
    assert len(offsets) == requests
    assert offsets[0] >= 0
    assert list(offsets) == sorted(offsets)


def a_trace(folder: Path, *lines: str) -> str:
    path = folder / "trace.jsonl"
    path.write_text("\n".join(lines))
    return str(path)


def test_a_trace_is_replayed_from_its_first_time_in_the_order_of_its_times(tmp_path: Path) -> None:
    path = a_trace(
        tmp_path,
        '{"at_s": 12.0, "prompt_tokens": 30, "max_tokens": 4}',
        '{"at_s": 10.0, "prompt": "first"}',
        "",
        '{"at_s": 10.5, "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why"}]}',
    )
    trace = Trace(path=path, speed=2.0)
    assert trace.schedule(3, 0).offsets_ns == (0, S // 4, S)
    assert [ask.text for ask in trace.asks()] == ["first", "be brief\nwhy", ""]
    assert (trace.asks()[2].prompt_tokens, trace.asks()[2].max_tokens) == (30, 4)


def test_more_requests_than_a_trace_has_are_refused(tmp_path: Path) -> None:
    trace = Trace(path=a_trace(tmp_path, '{"at_s": 0, "prompt": "a"}'), speed=1.0)
    with pytest.raises(BenchmarkFailed, match="holds 1 requests, and 2 were asked for"):
        trace.schedule(2, 0)
