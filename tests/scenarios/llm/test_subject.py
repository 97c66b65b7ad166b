"""What all llm scenarios share: starting, telling, failures, a lost server, cancels, energy, and what is kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BenchmarkFailed, Cancelled
from harness.llm.exchange import Failure
from harness.llm.load import Users
from harness.scenarios.llm.inference import Inference
from harness.scenarios.llm.traffic import Traffic
from tests.scenarios.contexts import Hand, by_hand
from tests.scenarios.llm.knobs import NO_LIMIT, common, estimates, ran
from tests.scenarios.llm.scripted import ScriptedEngine

LOST = Failure("lost", "killed by signal 9")


def traffic(engine: ScriptedEngine, requests: int = 4, **knobs: Any) -> Traffic:
    load = Users(users=1, ramp_s=0.0, think_s=0.0)
    return Traffic(**{**common(engine), **knobs}, load=load, requests=requests, alone=1, slo=NO_LIMIT)


def told(hand: Hand, name: str) -> list[Any]:
    return [attributes for each, attributes in hand.events if each == name]


def test_the_model_and_its_settings_enter_the_result(tmp_path: Path) -> None:
    hand = ran(Inference(**common(ScriptedEngine(slots=3))), tmp_path)
    facts = {each["part"]: each["facts"] for each in told(hand, "environment.described")}
    assert facts["llm"]["model"] == "planted"
    assert facts["llm"]["settings"] == {"slots": 3}
    assert "pid" not in facts["llm"]


def test_the_template_is_found_so_that_prompts_have_their_length(tmp_path: Path) -> None:
    hand = ran(Inference(**common(ScriptedEngine(template_tokens=31), prompt_tokens=64)), tmp_path)
    assert estimates(hand, "llm.input_tokens") == [64, 64]


@pytest.mark.parametrize("missing", ["gives_usage", "tokenizer"])
def test_lengths_that_are_only_estimated_are_said_to_be(tmp_path: Path, missing: str) -> None:
    hand = by_hand(tmp_path)
    runner = Inference(**common(ScriptedEngine(**{missing: False})))
    runner.setup(hand.context)
    assert "llm.tokens_estimated" in hand.event_names()


def test_prompts_that_are_not_of_the_length_asked_for_are_told_once(tmp_path: Path) -> None:
    hand = ran(Inference(**common(ScriptedEngine(tokenizer=False), prompt_tokens=64)), tmp_path)
    assert [each["asked_tokens"] for each in told(hand, "llm.prompt_length_inexact")] == [64]


def test_each_failure_is_told_with_its_reason_and_the_error_rate_is_right(tmp_path: Path) -> None:
    failures = {3: Failure("timeout", "silence"), 5: Failure("malformed", "no JSON")}
    hand = ran(traffic(ScriptedEngine(fails=failures.get), 8), tmp_path)
    assert estimates(hand, "llm.error_rate") == [2 / 8]
    assert [(each["reason"], each["index"]) for each in told(hand, "llm.request.failed")] == [
        ("timeout", 1), ("malformed", 3),
    ]  # fmt: skip
    assert len(estimates(hand, "llm.e2e_ms")) == 6


def test_a_flood_of_failures_does_not_flood_the_events(tmp_path: Path) -> None:
    engine = ScriptedEngine(fails=lambda number: Failure("busy", "later") if number > 1 else None)
    hand = ran(traffic(engine, 100), tmp_path)
    assert len(told(hand, "llm.request.failed")) == 20
    assert told(hand, "llm.requests.failures_not_told")[0]["count"] == 80
    assert estimates(hand, "llm.error_rate") == [1.0]
    assert estimates(hand, "llm.ttft_ms") == []


def test_a_server_that_was_lost_is_started_again_and_the_next_load_runs(tmp_path: Path) -> None:
    engine = ScriptedEngine(fails=lambda number: LOST if number == 3 else None)
    hand = ran(traffic(engine), tmp_path, 2)
    assert engine.restarted == 1
    assert estimates(hand, "llm.error_rate") == [1 / 4, 0]


def test_a_model_that_does_not_answer_at_all_fails_the_run_with_its_reason(tmp_path: Path) -> None:
    engine = ScriptedEngine(fails=lambda number: Failure("server_error", "no weights"))
    with pytest.raises(BenchmarkFailed, match="server_error: no weights"):
        ran(traffic(engine), tmp_path)
    assert engine.closed == 1


def test_a_cancel_while_the_first_request_is_asked_is_no_failure(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    hand.cancel()
    with pytest.raises(Cancelled):
        traffic(ScriptedEngine()).setup(hand.context)


def test_energy_is_unavailable_with_its_reason_or_measured(tmp_path: Path) -> None:
    hand = ran(Inference(**common()), tmp_path, 2)
    missing = [each for each in told(hand, "metric.unavailable") if each["metric"] == "llm.joules_per_token"]
    measured = estimates(hand, "llm.joules_per_token")
    assert (len(missing) == 1 and missing[0]["reason"]) or len(measured) == 2


def test_memory_of_a_server_that_cannot_be_seen_is_unavailable_and_said_once(tmp_path: Path) -> None:
    hand = ran(Inference(**common()), tmp_path, 3)
    named = [each["metric"] for each in told(hand, "metric.unavailable")]
    assert named.count("llm.server_rss_peak_mb") == 1
    assert estimates(hand, "llm.server_rss_peak_mb") == []


@pytest.mark.parametrize(("keep", "keys"), [("timings", False), ("texts", True)])
def test_each_request_has_a_line_of_its_own(tmp_path: Path, keep: str, keys: bool) -> None:
    ran(Inference(**common(keep=keep)), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert [line["tag"] for line in lines] == ["prefill", "whole"]
    assert [line["first_ms"] for line in lines] == [pytest.approx(30), pytest.approx(30)]
    assert lines[1]["usage"]["output"] == 8
    assert ("answer" in lines[1]) == keys


def test_nothing_is_kept_where_nothing_is_wanted(tmp_path: Path) -> None:
    ran(Inference(**common(keep="nothing")), tmp_path)
    assert not (tmp_path / "requests.jsonl").exists()


def test_texts_are_kept_without_secrets(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    hand.context.redact = lambda value: value.replace("w1", "***")
    runner = Inference(**common(keep="texts"))
    runner.setup(hand.context)
    runner.iterate(hand.context)
    assert '"answer": "w0 *** w2' in (tmp_path / "requests.jsonl").read_text()


def test_two_runs_of_one_seed_have_the_same_outcome_where_that_is_asked_for(tmp_path: Path) -> None:
    outcomes = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        hand = by_hand(tmp_path / name)
        hand.context.deterministic = True
        engine = ScriptedEngine()
        runner = Inference(**common(engine))
        runner.setup(hand.context)
        runner.iterate(hand.context)
        outcomes.add((hand.context.outcome, engine.asked[-1].text))
    assert len(outcomes) == 1
