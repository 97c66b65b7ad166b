import pytest

from harness.gates.verdict import exit_code, suite_exit_code
from tests.results.documents import a_result

PASS = {"metric": "step.latency_ms", "stat": "max", "critical": "> 500"}
WARN = {"metric": "step.latency_ms", "stat": "max", "warning": "> 1"}
FAIL = {"metric": "step.latency_ms", "stat": "max", "critical": "> 1"}
UNKNOWN = {"metric": "other.rate", "stat": "mean", "critical": "> 1"}
PROOF = {"metric": "step.latency_ms", "stat": "p50", "by": "interval", "critical": "> 500"}


@pytest.mark.parametrize(
    ("rules", "level"),
    [
        ([PASS], "pass"),
        ([PASS, WARN], "warn"),
        ([WARN, UNKNOWN], "inconclusive"),
        ([FAIL, UNKNOWN, PASS], "fail"),
        ([], "none"),
    ],
)
def test_the_verdict_is_the_worst_of_the_rules(rules: list[dict[str, str]], level: str) -> None:
    verdict = a_result(rules=rules)["verdict"]
    assert verdict["level"] == level
    assert len(verdict["rules"]) == len(rules)


def test_without_rules_it_says_that_there_is_no_envelope() -> None:
    assert any("no envelope" in text for text in a_result()["verdict"]["messages"])


@pytest.mark.parametrize(
    ("rules", "level"), [([], "warn"), ([PASS], "warn"), ([FAIL], "fail"), ([UNKNOWN], "inconclusive")]
)
def test_a_failed_iteration_is_at_least_a_warning(rules: list[dict[str, str]], level: str) -> None:
    verdict = a_result(rules=rules, failed=2)["verdict"]
    assert verdict["level"] == level
    assert "2 of 10 iterations failed (error rate 0.2)" in verdict["messages"]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_run_that_did_not_complete_can_fail_but_not_pass(status: str) -> None:
    run = {"status": status, "reason": {"kind": "timeout", "message": "late"}}
    assert a_result(run, rules=[PASS])["verdict"]["level"] == "inconclusive"
    assert a_result(run, rules=[FAIL])["verdict"]["level"] == "fail"
    assert a_result(run)["verdict"]["level"] == "none"


def test_a_rule_that_does_not_apply_is_told_and_not_judged() -> None:
    verdict = a_result(rules=[{**FAIL, "when": {"device": "cuda"}}])["verdict"]
    assert verdict["level"] == "none"
    assert "the rule on step.latency_ms max does not apply: when device=cuda, here cpu" in verdict["messages"]


def test_a_condition_on_nothing_is_inconclusive() -> None:
    verdict = a_result(rules=[{**PASS, "when": {"scenario.epocs": 3}}])["verdict"]
    assert verdict["level"] == "inconclusive"
    assert "no 'scenario.epocs'" in verdict["rules"][0]["message"]


@pytest.mark.parametrize(("pressure", "level"), [(None, "pass"), (24.9, "pass"), (25.1, "inconclusive")])
def test_pressure_on_the_host_takes_proofs_their_verdict(pressure: float | None, level: str) -> None:
    assert a_result(rules=[PROOF], pressure=pressure)["verdict"]["level"] == level
    assert a_result(rules=[PASS], pressure=pressure)["verdict"]["level"] == "pass"


def test_a_contended_run_says_so() -> None:
    assert any("contended" in text for text in a_result({"contended": True})["verdict"]["messages"])


@pytest.mark.parametrize(
    ("status", "level", "strict", "code"),
    [
        ("completed", "pass", False, 0),
        ("completed", "warn", True, 0),
        ("completed", "none", True, 0),
        ("completed", "inconclusive", False, 0),
        ("completed", "inconclusive", True, 1),
        ("completed", "fail", False, 1),
        ("skipped", "none", True, 0),
        ("failed", "fail", False, 3),
        ("failed", "none", False, 3),
        ("crashed", "none", False, 3),
        ("cancelled", "fail", False, 130),
    ],
)
def test_exit_codes_are_those_of_the_rule(status: str, level: str, strict: bool, code: int) -> None:
    assert exit_code(status, level, strict=strict) == code


def test_a_suites_exit_code_is_the_gravest_of_its_jobs() -> None:
    assert suite_exit_code([0, 1, 3, 0]) == 3
    assert suite_exit_code([1, 130]) == 130
    assert suite_exit_code([]) == 0
