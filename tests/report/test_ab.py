from typing import Any

import pytest

from harness.report.ab import ab_report

DECISION = {
    "verdict": "slower",
    "estimate": 0.05,
    "low": 0.04,
    "high": 0.06,
    "pairs": 7,
    "chunks": 140,
    "smallest_visible": 0.03,
    "more": 0,
    "reason": "so it is",
}


def document(**changes: Any) -> dict[str, Any]:
    arm = {"said": "", "overrides": [], "config_digest": "0", "checkout": None, "git": {"commit": None}}
    finding = {"outliers": {"low_severe": 0, "high_mild": 2}, "drifts": 0}
    return {
        "ab_id": "20261122T000000Z-ab-x-000000",
        "kind": "ab",
        "scenario": "x",
        "metric": {"name": "iteration.duration_ms", "unit": "ms", "better": "lower"},
        "verdict": {"level": "slower", "reason": "so it is"},
        "exit_code": 1,
        "started_at": "2026-11-22T00:00:00.000000Z",
        "duration_s": 3.0,
        "arms": {"A": arm, "B": {**arm, "said": "seed=1", "checkout": "/there", "git": {"commit": "c0ffee" * 7}}},
        "differences": [{"key": "seed", "a": 0, "b": 1}],
        "design": {"tolerance": 0.05, "level": 0.99, "rounds_done": 100},
        "short_stage": DECISION,
        "decision": DECISION,
        "confirmation": None,
        "null": {**DECISION, "verdict": "same", "estimate": 0.001},
        "noise": None,
        "pairs": [{"values": {"A": [1.0, 2.0], "B": [2.0, 3.0]}}],
        "findings": {"A": finding, "B": finding},
        "messages": ["the host was not quiet"],
        **changes,
    }


def test_the_verdict_comes_first_with_its_effect_and_interval() -> None:
    text = ab_report(document())
    assert text.startswith("# slower: B is slower than A: +5.00 % [+4.00 %, +6.00 %] of iteration.duration_ms")


def test_every_report_carries_its_own_null() -> None:
    assert "A against itself" in ab_report(document())
    assert "A against itself" not in ab_report(document(null=None))


def test_what_differs_and_where_it_came_from_is_told() -> None:
    text = ab_report(document(), "simple")
    assert "seed" in text
    assert "A: as configured" in text
    assert "B: seed=1 in /there at c0ffeec0ffee" in text
    assert "- the host was not quiet" in text


def test_a_first_stage_that_was_all_is_not_told_twice() -> None:
    assert "short stage" not in ab_report(document())
    assert "short stage" in ab_report(document(short_stage={**DECISION, "pairs": 3}))


def test_an_interval_without_bounds_is_a_dash() -> None:
    unbounded = {**DECISION, "low": None, "high": None, "smallest_visible": None}
    assert "[-, -]" in ab_report(document(decision=unbounded))


@pytest.mark.parametrize("level", ["slower", "faster", "same", "undecided"])
def test_every_verdict_has_words(level: str) -> None:
    assert level in ab_report(document(verdict={"level": level, "reason": "so it is"}))


def test_a_self_test_says_what_the_host_can_show() -> None:
    noise = {
        "pairs": 20,
        "drawn": 7,
        "between_pairs": 0.018,
        "within_pair": 0.002,
        "trials": 400,
        "false_alarms": 0.0,
        "false_alarms_low": 0.0,
        "false_alarms_high": 0.0075,
    }
    text = ab_report(document(kind="noise", noise=noise, differences=[]))
    assert "differ by 1.80 %" in text
    assert "0.00 % [0.00 %, 0.75 %] of 400 draws of 7 pairs" in text
