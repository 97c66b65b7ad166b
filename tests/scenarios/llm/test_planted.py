"""Each kind finds the effect that was planted for it, and only that."""

from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest

from harness.errors import BenchmarkFailed
from harness.llm.exchange import Failure
from harness.llm.load import PoissonRate, Users
from harness.scenarios.llm.concurrent import Concurrent
from harness.scenarios.llm.context_window import ContextWindow
from harness.scenarios.llm.inference import Inference
from harness.scenarios.llm.ladder import Ladder
from harness.scenarios.llm.mixed import Mixed
from harness.scenarios.llm.streaming import Streaming
from harness.scenarios.llm.throughput import Throughput
from harness.scenarios.llm.traffic import Traffic
from harness.scenarios.llm.warm_start import WarmStart
from tests.scenarios.llm.knobs import NO_LIMIT, common, estimates, ran
from tests.scenarios.llm.scripted import ScriptedEngine

LADDER: dict[str, Any] = {"repeats": 2, "fixed": None, "growth": None}


def test_inference_tells_reading_from_writing(tmp_path: Path) -> None:
    engine = ScriptedEngine(prefill_ms=lambda tokens: 2.0 * tokens, gap_ms=lambda position: 5.0)
    hand = ran(Inference(**common(engine, prompt_tokens=100, max_tokens=21)), tmp_path)
    assert estimates(hand, "llm.inference.prefill_tokens_per_s") == [pytest.approx(500)]
    assert estimates(hand, "llm.inference.decode_tokens_per_s") == [pytest.approx(200)]
    assert estimates(hand, "llm.inference.prefill_share") == [pytest.approx(200 / 300)]
    assert estimates(hand, "llm.e2e_ms") == [pytest.approx(200), pytest.approx(300)]


@pytest.mark.parametrize(("holds_back", "slope"), [(False, 0.0), (True, 10.0)])
def test_first_token_finds_answers_that_are_held_back(tmp_path: Path, holds_back: bool, slope: float) -> None:
    engine = ScriptedEngine(holds_back=holds_back)
    metric = "llm.first_token.growth_ms_per_token"
    runner = Ladder(**common(engine), **LADDER, vary="max_tokens", levels=[1, 16], time="ttft", slope=metric)
    assert estimates(ran(runner, tmp_path), metric) == [pytest.approx(slope, abs=1e-6)]


def test_prompt_length_finds_the_cost_of_a_token_and_of_none(tmp_path: Path) -> None:
    engine = ScriptedEngine(prefill_ms=lambda tokens: 7 + 0.25 * tokens)
    knobs = {**LADDER, "fixed": "llm.prompt_length.fixed_ms"}
    slope = "llm.prompt_length.ms_per_token"
    runner = Ladder(**common(engine), **knobs, vary="prompt_tokens", levels=[32, 64, 96], time="ttft", slope=slope)
    hand = ran(runner, tmp_path, 2)
    assert estimates(hand, slope) == [pytest.approx(0.25)] * 2
    assert estimates(hand, "llm.prompt_length.fixed_ms") == [pytest.approx(7)] * 2
    assert sorted(set(estimates(hand, "llm.input_tokens"))) == [32, 64, 96]


def test_token_generation_finds_the_cost_of_a_further_token(tmp_path: Path) -> None:
    engine = ScriptedEngine(gap_ms=lambda position: 4.0)
    knobs = {**LADDER, "fixed": "llm.token_generation.fixed_ms"}
    slope = "llm.token_generation.ms_per_token"
    runner = Ladder(**common(engine), **knobs, vary="max_tokens", levels=[4, 16, 64], time="e2e", slope=slope)
    hand = ran(runner, tmp_path)
    assert estimates(hand, slope) == [pytest.approx(4)]
    assert estimates(hand, "llm.token_generation.fixed_ms") == [pytest.approx(10 + 0.5 * 40 - 4)]


def test_small_prompt_finds_what_a_request_costs_however_short(tmp_path: Path) -> None:
    engine = ScriptedEngine(prefill_ms=lambda tokens: 30 + 0.5 * tokens, template_tokens=0)
    knobs = {**LADDER, "fixed": "llm.small_prompt.fixed_ms"}
    slope = "llm.small_prompt.ms_per_token"
    runner = Ladder(**common(engine), **knobs, vary="prompt_tokens", levels=[8, 16, 32], time="ttft", slope=slope)
    assert estimates(ran(runner, tmp_path), "llm.small_prompt.fixed_ms") == [pytest.approx(30)]


@pytest.mark.parametrize(("square", "growth"), [(0.0, 1.0), (0.002, (0.5 + 0.004 * 402) / (0.5 + 0.004 * 50))])
def test_large_prompt_finds_a_cost_that_grows(tmp_path: Path, square: float, growth: float) -> None:
    engine = ScriptedEngine(prefill_ms=lambda tokens: 0.5 * tokens + square * tokens**2, context_tokens=512)
    knobs = {**LADDER, "growth": "llm.large_prompt.growth", "slope": "llm.large_prompt.ms_per_token"}
    runner = Ladder(**common(engine), **knobs, vary="prompt_share", levels=[0.1, 0.2, 0.4, 0.8], time="ttft")
    hand = ran(runner, tmp_path)
    assert estimates(hand, "llm.large_prompt.growth") == [pytest.approx(growth, rel=0.01)]
    assert max(estimates(hand, "llm.input_tokens")) == round(0.8 * (512 - 8 - 1))


def test_streaming_finds_planted_stalls_where_they_were(tmp_path: Path) -> None:
    """Trap: a mean over the answer spreads a stall over all its tokens."""
    engine = ScriptedEngine(gap_ms=lambda position: {7: 90.0, 30: 60.0}.get(position, 10.0))
    stall = {"times_median": 4.0, "at_least_ms": 20.0}
    hand = ran(Streaming(**common(engine, max_tokens=40), requests=2, stall=stall), tmp_path)
    told = [attributes for name, attributes in hand.events if name == "llm.stall"]
    assert [(each["index"], each["before_piece"], each["ms"]) for each in told] == [
        (0, 7, 90.0), (0, 30, 60.0), (1, 7, 90.0), (1, 30, 60.0),
    ]  # fmt: skip
    assert estimates(hand, "llm.streaming.stalls") == [4]
    assert estimates(hand, "llm.streaming.longest_gap_ms") == [90, 90]
    assert estimates(hand, "llm.streaming.drift_us_per_token") == [pytest.approx(0, abs=1e-6)]


def test_streaming_finds_tokens_that_take_longer_and_longer(tmp_path: Path) -> None:
    engine = ScriptedEngine(gap_ms=lambda position: 10 + 0.05 * position)
    stall = {"times_median": 4.0, "at_least_ms": 20.0}
    hand = ran(Streaming(**common(engine, max_tokens=64), requests=1, stall=stall), tmp_path)
    assert estimates(hand, "llm.streaming.drift_us_per_token") == [pytest.approx(50, rel=0.01)]
    assert estimates(hand, "llm.streaming.stalls") == [0]


def test_latency_finds_the_queue_of_a_server_with_one_slot(tmp_path: Path) -> None:
    """A queue with random arrivals and fixed service S waits rho S / 2 (1 - rho) on average (Pollaczek, Khinchine)."""
    service_s = 0.1
    engine = ScriptedEngine(prefill_ms=lambda tokens: 1000 * service_s)
    knobs = {"load": PoissonRate(rate_per_s=5.0), "requests": 5_000, "alone": 1, "slo": NO_LIMIT}
    hand = ran(Traffic(**common(engine, max_tokens=1), **knobs), tmp_path)
    waited = estimates(hand, "llm.latency.queueing_ms")
    assert fmean(waited) == pytest.approx(1000 * 0.5 * service_s / (2 * 0.5), rel=0.15)
    assert fmean(estimates(hand, "llm.outside_model_ms")) == pytest.approx(fmean(waited), rel=0.01)


def test_latency_counts_from_the_intended_start(tmp_path: Path) -> None:
    """Trap: a client that is held up sends late and calls the answer fast (coordinated omission)."""
    engine = ScriptedEngine(late_ms=300.0, slots=100)
    knobs = {"load": PoissonRate(rate_per_s=5.0), "requests": 50, "alone": 1, "slo": {**NO_LIMIT, "e2e_ms": 200.0}}
    hand = ran(Traffic(**common(engine), **knobs), tmp_path)
    assert max(estimates(hand, "llm.e2e_ms")) == pytest.approx(100)
    assert min(estimates(hand, "llm.e2e_from_intended_ms")) == pytest.approx(400)
    assert estimates(hand, "llm.goodput_per_s") == [0]


def test_concurrent_finds_what_a_server_with_four_slots_gains(tmp_path: Path) -> None:
    engine = ScriptedEngine(slots=4, slowdown=lambda busy: 1 + 0.25 * (busy - 1))
    hand = ran(Concurrent(**common(engine), users=[1, 2, 4], requests_each=4), tmp_path)
    assert estimates(hand, "llm.concurrent.speedup") == [pytest.approx(4 / 1.75, rel=0.1)]
    assert estimates(hand, "llm.concurrent.efficiency") == [pytest.approx(1 / 1.75, rel=0.1)]
    assert estimates(hand, "llm.concurrent.best_users") == [4]
    one, four = (estimates(hand, f"llm.concurrent.tokens_per_s.{users}")[0] for users in (1, 4))
    assert one == pytest.approx(8 / 0.1)
    assert four / one == pytest.approx(estimates(hand, "llm.concurrent.speedup")[0])


def test_more_users_on_one_slot_gain_nothing_and_wait(tmp_path: Path) -> None:
    hand = ran(Concurrent(**common(), users=[1, 4], requests_each=8), tmp_path)
    assert estimates(hand, "llm.concurrent.speedup") == [pytest.approx(1)]
    assert estimates(hand, "llm.concurrent.slowdown") == [pytest.approx(4)]


def test_a_number_of_users_without_a_metric_is_refused_with_the_line_to_write(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match=r"tokens_per_s\.3") as error:
        ran(Concurrent(**common(), users=[1, 3], requests_each=1), tmp_path)
    assert "metrics: {llm.concurrent.tokens_per_s.3: {unit: 1/s" in error.value.hint


SWEEP: dict[str, Any] = {
    "times_alone": None,
    "lowest_per_s": None,
    "highest_per_s": 100.0,
    "growth": 1.5,
    "resolution": 0.05,
    "most_tries": 20,
    "requests": 200,
    "random": False,
    "kept_share": 0.95,
}


@pytest.mark.parametrize("slots", [1, 3])
def test_throughput_finds_the_rate_that_a_server_can_carry(tmp_path: Path, slots: int) -> None:
    engine = ScriptedEngine(slots=slots)  # 100 ms a request: ten a second for each slot
    runner = Throughput(**common(engine), slo={**NO_LIMIT, "ttft_ms": 200.0}, sweep=SWEEP)
    hand = ran(runner, tmp_path)
    (found,) = estimates(hand, "llm.throughput.saturation_per_s")
    assert found == pytest.approx(10 * slots, rel=0.12)
    assert estimates(hand, "llm.throughput.tokens_per_s")[0] == pytest.approx(8 * found, rel=0.15)


def test_a_promise_can_be_so_many_times_what_one_user_alone_waits(tmp_path: Path) -> None:
    runner = Throughput(**common(), slo=NO_LIMIT, sweep={**SWEEP, "times_alone": 3.0})
    assert estimates(ran(runner, tmp_path), "llm.throughput.saturation_per_s") == [pytest.approx(10, rel=0.12)]


def test_a_promise_that_never_holds_has_no_rate(tmp_path: Path) -> None:
    runner = Throughput(**common(), slo={**NO_LIMIT, "ttft_ms": 1.0}, sweep=SWEEP)
    hand = ran(runner, tmp_path)
    assert estimates(hand, "llm.throughput.saturation_per_s") == [0]
    assert "llm.throughput.open_bracket" in hand.event_names()


@pytest.mark.parametrize("limit", [200, 333, 511])
def test_context_window_finds_the_limit_to_one_token(tmp_path: Path, limit: int) -> None:
    engine = ScriptedEngine(context_tokens=512, limit_tokens=limit)
    runner = ContextWindow(**common(engine), least_tokens=32, most_tokens=4096, guess_tokens=None)
    hand = ran(runner, tmp_path, 2)
    assert estimates(hand, "llm.context_window.limit_tokens") == [limit] * 2
    assert estimates(hand, "llm.context_window.bracket_tokens") == [1, 1]
    assert estimates(hand, "llm.context_window.recognised") == [1, 1]
    assert estimates(hand, "llm.context_window.stated_tokens") == [512, 512]


def test_a_server_that_silently_cuts_prompts_off_is_caught(tmp_path: Path) -> None:
    """Trap: a prompt that is cut off gets an answer too."""
    engine = ScriptedEngine(context_tokens=512, limit_tokens=300, cuts_off=True)
    runner = ContextWindow(**common(engine), least_tokens=32, most_tokens=4096, guess_tokens=None)
    hand = ran(runner, tmp_path)
    assert estimates(hand, "llm.context_window.limit_tokens") == [300]
    assert estimates(hand, "llm.context_window.recognised") == [0]
    assert "llm.context_window.cut" in hand.event_names()


def test_a_failure_that_is_no_refusal_is_no_limit(tmp_path: Path) -> None:
    engine = ScriptedEngine(fails=lambda number: Failure("timeout", "silence") if number == 2 else None)
    runner = ContextWindow(**common(engine), least_tokens=32, most_tokens=4096, guess_tokens=None)
    with pytest.raises(BenchmarkFailed, match="timeout: silence"):
        ran(runner, tmp_path)


def test_warm_start_finds_what_the_prefix_cache_saves(tmp_path: Path) -> None:
    engine = ScriptedEngine(caches=True)
    hand = ran(WarmStart(**common(engine, prompt_tokens=100, max_tokens=1)), tmp_path, 3)
    assert estimates(hand, "llm.start.warm_ms") == [pytest.approx(60)] * 3
    assert estimates(hand, "llm.start.prefix_cached_ms") == [pytest.approx(10.5)] * 3
    assert estimates(hand, "llm.start.prefix_saving") == [pytest.approx(1 - 10.5 / 60)] * 3
    assert "llm.start.prefix_not_cached" not in hand.event_names()


def test_a_server_without_a_prefix_cache_saves_nothing_and_that_is_said(tmp_path: Path) -> None:
    hand = ran(WarmStart(**common(max_tokens=1)), tmp_path)
    assert estimates(hand, "llm.start.prefix_saving") == [pytest.approx(0)]
    assert "llm.start.prefix_not_cached" in hand.event_names()


MIX: dict[str, Any] = {
    "small": {"weight": 8.0, "prompt_tokens": 20, "max_tokens": 2},
    "large": {"weight": 2.0, "prompt_tokens": 400, "max_tokens": 40},
}


@pytest.mark.parametrize(("slots", "least", "most"), [(1, 4.0, 100.0), (50, 1.0, 1.0)])
def test_mixed_finds_what_large_requests_do_to_small_ones(
    tmp_path: Path, slots: int, least: float, most: float
) -> None:
    engine = ScriptedEngine(slots=slots)
    load = Users(users=6, ramp_s=0.0, think_s=0.0)
    hand = ran(Mixed(**common(engine), load=load, requests=120, alone=2, mix=MIX), tmp_path)
    (found,) = estimates(hand, "llm.mixed.interference")
    assert least <= round(found, 6) <= most
    assert median(estimates(hand, "llm.mixed.e2e_ms.large")) > median(estimates(hand, "llm.mixed.e2e_ms.small"))
    assert len(estimates(hand, "llm.mixed.ttft_ms.small")) + len(estimates(hand, "llm.mixed.ttft_ms.large")) == 120


def test_a_class_without_metrics_is_refused_with_the_line_to_write(tmp_path: Path) -> None:
    mix = {**MIX, "tiny": MIX["small"]}
    load = Users(users=2, ramp_s=0.0, think_s=0.0)
    with pytest.raises(BenchmarkFailed, match=r"llm\.mixed\.e2e_ms\.tiny"):
        ran(Mixed(**common(), load=load, requests=4, alone=1, mix=mix), tmp_path)
