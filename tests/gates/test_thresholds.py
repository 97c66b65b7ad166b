from typing import Any

import pytest

from harness.errors import ConfigError
from harness.gates.comparison import Comparison
from harness.gates.thresholds import Rule, load_rules


def problems(*nodes: Any, known: Any = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_rules({"rules": list(nodes)}, known)
    return [str(problem) for problem in caught.value.problems]


def test_rules_are_read_with_their_defaults() -> None:
    rules = load_rules(
        {
            "rules": [
                {
                    "metric": "a.ms",
                    "stat": "p95",
                    "warning": ">= 350",
                    "critical": ">= 800",
                    "when": {"device": "cuda"},
                },
                {"metric": "b.ratio", "stat": "min", "critical": "< 3", "by": "interval"},
                {"event": "a.failed", "critical": "> 0"},
            ]
        }
    )
    assert rules == [
        Rule("a.ms", None, "p95", Comparison(">=", 350), Comparison(">=", 800), "sample", {"device": "cuda"}),
        Rule("b.ratio", None, "min", None, Comparison("<", 3), "interval", {}),
        Rule(None, "a.failed", "count", None, Comparison(">", 0), "sample", {}),
    ]


@pytest.mark.parametrize("group", [None, {}, {"rules": None}, {"rules": []}])
def test_no_group_means_no_rules(group: dict[str, Any] | None) -> None:
    assert load_rules(group) == []


def test_all_problems_of_all_rules_are_listed_with_their_places() -> None:
    found = problems(
        {"metric": "a", "stat": "p96", "critcal": "> 1"},
        "nonsense",
        {"metric": "a", "event": "b", "critical": "500"},
    )
    assert [text.split(": ")[0] for text in found] == [
        "threshold.rules.0.critcal",
        "threshold.rules.0.stat",
        "threshold.rules.0",
        "threshold.rules.1",
        "threshold.rules.2.critical",
        "threshold.rules.2",
    ]
    assert "did you mean 'critical'?" in found[0]
    assert "found 'p96'; did you mean" in found[1]
    assert "needs `warning`, `critical` or both" in found[2]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"critical": "> 1"}, "names either a metric or an event"),
        ({"metric": 3, "stat": "mean", "critical": "> 1"}, "should be a name, found 3"),
        ({"metric": "a", "critical": "> 1"}, "needs `stat`"),
        ({"event": "a", "critical": "> 1", "by": "interval"}, "a count of events has no interval"),
        ({"event": "a", "critical": "> 1", "stat": "p95"}, "should be one of count"),
        ({"metric": "a", "stat": "mean", "critical": "> 1", "by": "intervall"}, "did you mean 'interval'?"),
        ({"metric": "a", "stat": "mean", "critical": "> 1", "when": "cuda"}, "should map config paths"),
    ],
)
def test_each_slip_is_named(node: dict[str, Any], message: str) -> None:
    assert any(message in text for text in problems(node))


def test_a_rule_on_an_undeclared_metric_is_a_problem_because_it_would_never_be_judged() -> None:
    found = problems({"metric": "step.latenzy_ms", "stat": "p95", "critical": "> 1"}, known={"step.latency_ms": None})
    assert found == ["threshold.rules.0.metric: no metric is called 'step.latenzy_ms'; did you mean 'step.latency_ms'?"]
