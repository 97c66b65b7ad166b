from random import Random
from typing import Any

import pytest

from harness.measure.catalogue import Metric
from harness.results import schema
from harness.results.arms import Arm
from harness.results.baseline import CANARY
from harness.results.compare import compare
from harness.results.judgement import Question
from tests.results import documents
from tests.results.made_arms import TIME, an_arm, steady


def only_row(base: Arm, candidate: Arm, **options: Any) -> dict[str, Any]:
    """The one row of a comparison, which fits its schema."""
    question = Question(**options.pop("question", {}))
    document = compare(base, [candidate], question, only=[TIME], **options)
    assert schema.validate(document, "comparison") == []
    (row,) = document["comparisons"][0]["metrics"]
    return dict(row)


@pytest.mark.parametrize(
    ("factor", "said", "severity"),
    [
        (1.00, "same", None),
        (1.07, "worse", "minor"),
        (1.20, "worse", "moderate"),
        (1.40, "worse", "major"),
        (1.60, "worse", "critical"),
        (0.80, "better", None),
    ],
)
def test_five_runs_on_each_side_carry_a_judgement_of_times(factor: float, said: str, severity: str | None) -> None:
    row = only_row(an_arm("a", *steady(12.0)), an_arm("b", *steady(12.0 * factor)))
    assert (row["class"], row["severity"]) == (said, severity)
    assert row["effect"]["basis"] == "runs"
    assert row["effect"]["percent"] == pytest.approx(100 * (factor - 1), abs=0.5)
    assert row["base"]["runs"] == 5


def test_single_runs_show_their_difference_and_claim_nothing() -> None:
    row = only_row(an_arm("a", [12.0] * 50), an_arm("b", [18.0] * 50))
    assert (row["class"], row["severity"], row["effect"]["basis"]) == ("inconclusive", "critical", "none")
    assert row["delta"] == 6.0
    assert row["delta_percent"] == pytest.approx(50.0)
    assert "at least 5 runs on each side or a canary" in row["reason"]


def test_a_host_that_changes_between_runs_gives_no_false_alarm() -> None:
    """Trap: stored runs judged by their own samples. Each run is precise about another state of the host."""
    source, alarms, naive = Random(5), 0, 0
    for _ in range(200):
        sides = []
        for name in "ab":
            speed = 12.0 * source.uniform(0.9, 1.1)
            sides.append(an_arm(name, [speed * source.lognormvariate(0, 0.01) for _ in range(100)]))
        alarms += only_row(*sides)["class"] in ("worse", "better")
        first, second = (arm.first["metrics"][TIME]["statistics"]["ci"]["p50"] for arm in sides)
        naive += first[1] < second[0] or second[1] < first[0]
    assert alarms == 0
    assert naive > 100, "the runs' own intervals say that nearly every pair differs"


def test_a_canary_takes_the_host_out_of_single_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(documents.CATALOGUE, CANARY, Metric(CANARY, "ms", "histogram", "lower", "the reference"))
    source = Random(1)

    def run(speed: float, work: float) -> dict[str, list[float]]:
        noise = [source.lognormvariate(0, 0.01) for _ in range(200)]
        return {
            TIME: [work * speed * one for one in noise[:100]],
            CANARY: [2.0 * speed * one for one in noise[100:]],
        }

    quick_host, same = an_arm("a", run(1.0, 12.0)), an_arm("b", run(1.2, 12.0))
    row = only_row(quick_host, same)
    assert row["delta_percent"] > 15
    assert (row["class"], row["effect"]["basis"]) == ("same", "canary")
    row = only_row(quick_host, an_arm("b", run(0.8, 15.0)))
    assert (row["class"], row["severity"]) == ("worse", "moderate"), "slower work on a host that was faster"
    rates = [{"other.rate": [5.0 / value for value in one[TIME]], CANARY: one[CANARY]} for one in (run(1.0, 12.0),)]
    halved = [{"other.rate": [2.5 / value for value in one[TIME]], CANARY: one[CANARY]} for one in (run(1.3, 12.0),)]
    document = compare(an_arm("a", *rates), [an_arm("b", *halved)], Question(), only=["other.*"])
    (row,) = document["comparisons"][0]["metrics"]
    assert row["class"] == "worse"
    assert row["effect"]["percent"] == pytest.approx(-50, abs=2), "a rate is multiplied by the canary, not divided"


def test_counts_are_exact_and_need_no_interval() -> None:
    base = an_arm("a", {"step.late_total": [1.0] * 5})
    document = compare(base, [an_arm("b", {"step.late_total": [2.0] * 5})], Question())
    (row,) = document["comparisons"][0]["metrics"]
    assert (row["class"], row["severity"], row["effect"]["basis"]) == ("worse", "critical", "exact")
    from_nothing = compare(an_arm("a", {"step.late_total": [0.0]}), [base], Question())["comparisons"][0]["metrics"][0]
    assert (from_nothing["class"], from_nothing["delta_percent"]) == ("worse", None)
    assert from_nothing["effect"]["difference"] == 1.0


def test_metrics_of_one_side_are_new_or_gone_and_unlike_ones_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    base = an_arm("a", {TIME: [1.0], "step.late_total": [1.0], "other.rate": [1.0]})
    monkeypatch.setitem(documents.CATALOGUE, "other.rate", Metric("other.rate", "1/min", "gauge", "higher"))
    candidate = an_arm("b", {TIME: [1.0], "iteration.duration_ms": [1.0], "other.rate": [1.0]})
    document = compare(base, [candidate], Question())
    found = {row["metric"]: row for row in document["comparisons"][0]["metrics"]}
    assert found["iteration.duration_ms"]["class"] == "new"
    assert found["step.late_total"]["class"] == "gone"
    assert found["other.rate"]["class"] == "n/a"
    assert found["other.rate"]["reason"] == "its unit differs: 1/min and 1/s"
    assert document["verdict"]["counts"] == {"gone": 1, "inconclusive": 1, "new": 1, "n/a": 1}
    assert document["verdict"]["level"] == "inconclusive"


def test_a_tail_needs_the_samples_of_a_claim_about_the_population() -> None:
    runs = steady(12.0)
    row = only_row(an_arm("a", *runs), an_arm("b", *runs), question={"stat": "p99"})
    assert row["reason"] == "a claim about the population's p99 needs n >= 662, here n=10"
    many = [[value for value in run for _ in range(70)] for run in runs]
    row = only_row(an_arm("a", *many), an_arm("b", *many), question={"stat": "p99"})
    assert row["class"] == "same"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"environment": {"hostname": "bench-2", "fingerprint": "other"}}, "different hosts"),
        ({"environment": {}}, "different hosts"),
        ({"run": {"contended": True}}, "is contended"),
        ({"run": {"status": "cancelled", "reason": {"kind": "cancelled", "message": "x"}}}, "is cancelled"),
        ({"pressure": 60.0}, "CPU pressure 60 %, over 25 %"),
        ({"run": {"scenario": "prefetch"}}, "different scenarios: prefetch, rollback"),
    ],
)
def test_what_forbids_a_judgement_makes_all_inconclusive(changes: dict[str, Any], reason: str) -> None:
    document = compare(an_arm("a", *steady(12.0)), [an_arm("b", *steady(20.0), **changes)], Question())
    pair = document["comparisons"][0]
    assert reason in " ".join(pair["obstacles"])
    assert {row["class"] for row in pair["metrics"]} == {"inconclusive"}
    assert pair["metrics"][0]["delta_percent"] == pytest.approx(66.7, abs=0.1), "the effect is shown nevertheless"
    assert (document["verdict"]["level"], document["verdict"]["exit_code"]) == ("inconclusive", 0)


def test_the_declared_factor_may_differ_and_the_rest_is_named() -> None:
    config = {"scenario": {"epochs": 3}, "model": {"width": 8}, "tags": ["x"]}
    other = {"scenario": {"epochs": 4}, "model": {"width": 16}, "tags": ["y"]}
    base = an_arm("a", *steady(12.0), run={"config": config, "model": "linear"})
    candidate = an_arm("b", *steady(12.0), run={"config": other, "model": "mlp"})
    document = compare(base, [candidate], Question(factors=("model", "commit")))
    pair = document["comparisons"][0]
    assert [(each["key"], each["declared"]) for each in pair["differences"]] == [
        ("model", True),
        ("model.width", True),
        ("scenario.epochs", False),
    ]
    assert "the declared factor commit does not differ" in pair["notes"]
    assert pair["metrics"][0]["class"] == "same", "a difference that is named forbids nothing"


def test_another_outcome_of_one_configuration_is_told() -> None:
    base, candidate = (an_arm(name, *steady(12.0), outcome=name * 64) for name in "ab")
    assert "the outcomes (losses, tokens) differ" in " ".join(
        compare(base, [candidate], Question())["comparisons"][0]["notes"]
    )


def test_arms_measured_after_one_another_say_so() -> None:
    base, other = an_arm("a", *steady(12.0)), an_arm("b", *steady(12.0))
    notes = compare(base, [other], Question())["comparisons"][0]["notes"]
    assert notes == [], "these were measured in the same minutes"
    (note,) = compare(base, [later(other)], Question())["comparisons"][0]["notes"]
    assert "wholly before the other" in note


def later(arm: Arm) -> Arm:
    """The same arm, measured the next day."""
    return Arm(arm.name, [{**one, "started_at": "2026-11-23T00:00:00.000000Z"} for one in arm.documents], arm.run_ids)


def test_a_host_that_drifts_between_two_groups_gives_no_false_alarm() -> None:
    """Trap: five runs and the next five, on a host that slows down slowly, differ without any change of the work."""
    source, alarms, without = Random(7), 0, 0
    for _ in range(100):
        level, sides = 0.0, []
        for name in "ab":
            runs = []
            for _ in range(5):
                level += source.gauss(0, 0.03)  # a random walk: each run is like the one before
                runs.append([12.0 * (1 + level) * source.lognormvariate(0, 0.01) for _ in range(20)])
            sides.append(an_arm(name, *runs))
        without += only_row(*sides)["class"] in ("worse", "better")  # as if they had been measured in turn
        alarms += only_row(sides[0], later(sides[1]))["class"] in ("worse", "better")
    assert without >= 10
    assert alarms <= without / 4


def test_a_change_beyond_what_runs_differ_by_is_still_found() -> None:
    row = only_row(an_arm("a", *steady(12.0)), later(an_arm("b", *steady(13.2))))
    assert (row["class"], row["severity"]) == ("worse", "moderate")


def test_runs_with_a_canary_are_each_divided_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(documents.CATALOGUE, CANARY, Metric(CANARY, "ms", "histogram", "lower", "the reference"))
    sides = []
    for name, speed in (("a", 1.0), ("b", 1.3)):
        runs = [{TIME: [value * speed for value in run], CANARY: [2.0 * speed] * 10} for run in steady(12.0)]
        sides.append(an_arm(name, *runs))
    row = only_row(sides[0], later(sides[1]))
    assert row["delta_percent"] == pytest.approx(30.0)
    assert (row["class"], row["effect"]["normalised"]) == ("same", True)


def test_the_winner_is_named_and_ties_share_a_place() -> None:
    arms = [an_arm(name, *steady(value)) for name, value in (("a", 15.0), ("b", 12.0), ("c", 12.05), ("d", 30.0))]
    (ranking,) = compare(arms[0], arms[1:], Question())["rankings"]
    names = [[arm["name"] for arm in place["arms"]] for place in ranking["places"]]
    assert names == [["b", "c"], ["a"], ["d"]]
    assert [place["place"] for place in ranking["places"]] == [1, 3, 4]
    assert ranking["winner"] is None
    assert ranking["tie"] == "the difference is within 5 %"
    (ranking,) = compare(arms[0], [arms[1], arms[3]], Question())["rankings"]
    assert ranking["winner"] == "b"


@pytest.mark.parametrize(
    ("fail_on", "strict", "level", "code"),
    [("minor", False, "fail", 1), ("critical", False, "warn", 0), ("critical", True, "warn", 0)],
)
def test_the_exit_code_follows_the_severity(fail_on: Any, strict: bool, level: str, code: int) -> None:
    base, worse = an_arm("a", *steady(12.0)), an_arm("b", *steady(15.0))
    found = compare(base, [worse], Question(), fail_on=fail_on, strict=strict)["verdict"]
    assert (found["level"], found["exit_code"]) == (level, code)
    single = compare(an_arm("a", [1.0]), [an_arm("b", [1.0])], Question(), strict=strict)["verdict"]
    assert single["exit_code"] == int(strict)


def test_the_noise_floor_comes_from_the_runs_of_the_configuration() -> None:
    row = only_row(an_arm("a", *steady(12.0)), an_arm("b", *steady(12.0)))
    assert row["noise_floor"]["runs"] == 5
    assert row["noise_floor"]["percent"] == pytest.approx(1.1, abs=0.3)
    row = only_row(an_arm("a", [12.0] * 9), an_arm("b", [12.0] * 9), earlier={TIME: [12.0, 12.6, 11.4, 12.1, 12.2]})
    assert row["noise_floor"]["runs"] == 5
    assert row["noise_floor"]["percent"] > 3
    row = only_row(an_arm("a", [11.0, 12.0, 13.0] * 5), an_arm("b", [12.0] * 9))
    assert row["noise_floor"]["runs"] == 1, "within one run: a lower bound"


def test_a_metric_without_a_better_direction_only_changes() -> None:
    documents.CATALOGUE["neutral"] = Metric("neutral", "ms", "histogram", "none", "x")
    try:
        arms = [an_arm(name, *({"neutral": run} for run in steady(value))) for name, value in (("a", 1.0), ("b", 2.0))]
        document = compare(arms[0], arms[1:], Question())
    finally:
        del documents.CATALOGUE["neutral"]
    (row,) = document["comparisons"][0]["metrics"]
    assert (row["class"], row["severity"]) == ("changed", None)
    assert (document["verdict"]["level"], document["rankings"]) == ("none", [])


def test_an_instrument_that_errs_too_much_is_not_compared() -> None:
    arms = [an_arm(name, *steady(12.0)) for name in "ab"]
    stamped = Arm("b", [{**one, "unmeasurable": [TIME]} for one in arms[1].documents], arms[1].run_ids)
    row = only_row(arms[0], stamped)
    assert (row["class"], row["reason"]) == ("n/a", "its instrument errs by more than its limit")
