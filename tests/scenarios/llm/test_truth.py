"""The runners over a real client on a server of known answers, whose own log is the truth."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from harness.llm.load import Burst, Users
from harness.llm.truth.server import TruthServer
from harness.scenarios.llm.inference import Inference
from harness.scenarios.llm.ladder import Ladder
from harness.scenarios.llm.streaming import Streaming
from harness.scenarios.llm.traffic import Traffic
from tests.llm.engines.asking import engine
from tests.scenarios.contexts import Hand
from tests.scenarios.llm.knobs import NO_LIMIT, common, estimates, ran

STALL: dict[str, Any] = {"times_median": 4.0, "at_least_ms": 20.0}


@pytest.fixture(scope="module")
def server() -> Iterator[TruthServer]:
    """Twenty milliseconds to the first token, then one every four."""
    with TruthServer({"ttft_us": 20_000, "gap_us": 4_000}) as running:
        yield running


def asked(server: TruthServer, **ask: Any) -> dict[str, Any]:
    """The common keys, with a real client and a short calibration."""
    extra = {f"truth_{name}": value for name, value in ask.pop("truth", {}).items()}
    return {**common(engine(server.url), **ask, extra=extra), "calibration": {"seconds": 0.3}}


def told(hand: Hand, name: str) -> list[Any]:
    return [attributes for each, attributes in hand.events if each == name]


def test_planted_stalls_are_found_where_they_were(server: TruthServer, tmp_path: Path) -> None:
    knobs = asked(server, max_tokens=48, truth={"stalls": "10:120000,30:80000"})
    hand = ran(Streaming(**knobs, requests=2, stall=STALL), tmp_path)
    found = [(each["index"], each["before_piece"]) for each in told(hand, "llm.stall")]
    assert {(0, 10), (0, 30), (1, 10), (1, 30)} <= set(found)
    assert min(gap["ms"] for gap in told(hand, "llm.stall") if gap["before_piece"] == 10) > 100


def test_tokens_that_come_in_pairs_give_no_time_of_a_single_one(server: TruthServer, tmp_path: Path) -> None:
    hand = ran(Streaming(**asked(server, max_tokens=40, truth={"per_write": 2}), requests=2, stall=STALL), tmp_path)
    assert estimates(hand, "llm.itl_ms") == []
    assert len(estimates(hand, "llm.chunk_gap_ms")) >= 30
    assert median(estimates(hand, "llm.coalesced_share")) >= 0.5


def test_a_chunk_of_several_tokens_counts_them_all(server: TruthServer, tmp_path: Path) -> None:
    hand = ran(Streaming(**asked(server, max_tokens=40, truth={"per_chunk": 4}), requests=1, stall=STALL), tmp_path)
    assert estimates(hand, "llm.output_tokens") == [40]
    assert estimates(hand, "llm.tokens_per_chunk") == [pytest.approx(4)]
    assert estimates(hand, "llm.itl_ms") == []


@pytest.mark.parametrize("role", [0, 1, 2])
def test_a_chunk_that_only_names_the_role_is_no_token(server: TruthServer, tmp_path: Path, role: int) -> None:
    """Trap: the first chunk, with a role and no text, comes before the first token, or in the same write."""
    hand = ran(Inference(**asked(server, max_tokens=8, truth={"role": role, "empty_every": 3})), tmp_path)
    assert estimates(hand, "llm.output_tokens") == [1, 8]
    log = server.truth()
    truth_ms = [stream.ttft_ns / 1e6 for stream in log.streams.values()][-2:]
    for found, true in zip(estimates(hand, "llm.ttft_ms"), truth_ms, strict=True):
        assert found >= true - 0.01


def test_the_error_of_the_client_is_found_and_told_beside_each_metric(server: TruthServer, tmp_path: Path) -> None:
    hand = ran(Inference(**asked(server, max_tokens=16)), tmp_path)
    errors = {each["metric"]: each for each in told(hand, "metric.instrument_error")}
    assert {"llm.ttft_ms", "llm.itl_ms", "llm.e2e_ms", "llm.tpot_ms", "llm.ttft_from_intended_ms"} <= set(errors)
    assert {"llm.chunk_gap_ms", "llm.inference.prefill_tokens_per_s"} <= set(errors)
    assert all(each["plus_minus"] >= 0 for each in errors.values())
    assert "replayed on a truth server in the same load" in errors["llm.ttft_ms"]["basis"]
    (calibrated,) = told(hand, "llm.calibrated")
    assert calibrated["highest_rate_per_s"] > 0
    assert calibrated["server_late_us"]["p50"] >= 0


def test_a_calibration_of_nothing_is_said(server: TruthServer, tmp_path: Path) -> None:
    hand = ran(Inference(**{**asked(server), "calibration": {"seconds": 0.0}}), tmp_path)
    assert "llm.not_calibrated" in hand.event_names()
    assert told(hand, "metric.instrument_error") == []


def test_a_ladder_on_a_streaming_server_has_no_growth(server: TruthServer, tmp_path: Path) -> None:
    metric = "llm.first_token.growth_ms_per_token"
    knobs = {"vary": "max_tokens", "levels": [1, 32], "repeats": 6, "time": "ttft"}
    runner = Ladder(**asked(server), **knobs, slope=metric, fixed=None, growth=None)
    hand = ran(runner, tmp_path)
    (slope,) = estimates(hand, metric)
    assert abs(slope) < 2  # held back, each further token would add its four milliseconds


@pytest.mark.parametrize("load", [Users(users=4, ramp_s=0.0, think_s=0.0), Burst(size=6, every_s=1.0)])
def test_every_answer_of_a_load_is_whole_and_none_is_early(server: TruthServer, tmp_path: Path, load: Any) -> None:
    knobs = {**asked(server, max_tokens=12), "keep": "texts"}
    runner = Traffic(**knobs, load=load, requests=12, alone=1, slo={**NO_LIMIT, "ttft_ms": 1e6})
    hand = ran(runner, tmp_path)
    assert estimates(hand, "llm.error_rate") == [0]
    assert len(estimates(hand, "llm.e2e_ms")) == 12
    assert min(estimates(hand, "llm.ttft_ms")) >= 19.9
    assert min(estimates(hand, "llm.dispatch_late_ms")) >= 0
    assert estimates(hand, "llm.goodput_per_s") == estimates(hand, "llm.requests_per_s")
    lines = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert len(lines) == 13
    assert '"answer": " t0 t1' in lines[-1]
