"""The proof table shows goal, measured, interval and n of every rule, and hides no rule that is not decided."""

from harness.report.proof import goal_of, proof_table

RULE = {
    "metric": "bench.engine.overhead_us", "stat": "p50", "value": 0.5, "n": 20, "unit": "us", "warning": None,
    "critical": "> 0.6", "by": "interval", "interval": [0.45, 0.55], "level": "pass", "message": "within",
}  # fmt: skip


def test_a_goal_is_the_opposite_of_its_limit() -> None:
    assert [goal_of(limit) for limit in ("> 500", "< 0.95", "!= 1", ">= 2")] == ["<= 500", ">= 0.95", "== 1", "< 2"]


def test_a_row_shows_goal_measured_interval_and_n() -> None:
    row = proof_table([{"rules": [RULE]}], "simple").splitlines()[-1]
    for part in ("bench.engine.overhead_us", "p50", "<= 0.6", "0.5000 us", "[0.4500, 0.5500]", "20", "reached"):
        assert part in row


def test_what_is_not_decided_says_why() -> None:
    undecided = {**RULE, "level": "inconclusive", "message": "straddles critical > 0.6"}
    missing = {**RULE, "value": None, "n": None, "interval": None, "level": "fail", "message": "was not recorded"}
    text = proof_table([{"rules": [undecided]}, {"rules": [missing]}], "simple")
    assert "inconclusive: straddles critical > 0.6" in text
    assert text.count("not reached") == 1


def test_without_a_rule_by_interval_there_is_no_proof_to_show() -> None:
    assert proof_table([{"rules": [{**RULE, "by": "sample"}]}], "simple") == ""
