"""The comparison of stored runs: one base, several candidates, what changed in each metric, and how sure that is."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from harness.measure.shift import LEVEL
from harness.results import noise
from harness.results.arms import Arm
from harness.results.differences import after_one_another, differences, obstacles, other_outcome, undeclared
from harness.results.evidence import Evidence, centre
from harness.results.judgement import SEVERITIES, Answer, Question, Severity, judge, summarise
from harness.results.ranking import rank
from harness.results.times import now

SCHEMA = "harness.comparison/1"
STATS = ("p50", "mean", "p90", "p95", "p99", "min", "max")


def compare(
    base: Arm,
    candidates: Sequence[Arm],
    question: Question,
    *,
    only: Sequence[str] = (),
    rank_by: Sequence[str] = (),
    earlier: Mapping[str, Sequence[float]] | None = None,
    fail_on: Severity = "minor",
    strict: bool = False,
) -> dict[str, Any]:
    """The comparison document.

    `only` holds patterns of metric names, `rank_by` metrics by which the arms are put in order (by default the one that
    stands for the base in lists). `earlier` holds values of the base's configuration for the noise floor. A change for
    the worse of at least `fail_on` makes the verdict fail, a smaller one warn.
    """
    pairs = [_pair(base, candidate, question, only, earlier or {}) for candidate in candidates]
    arms = [base, *candidates]
    rankings = [rank(arms, metric, question) for metric in rank_by or _main(base, only)]
    return {
        "schema": SCHEMA,
        "created_at": now(),
        "stat": question.stat,
        "level": LEVEL,
        "tolerance_percent": question.tolerance_percent,
        "factors": list(question.factors),
        "arms": [_said(arm, "candidate" if i else "base") for i, arm in enumerate(arms)],
        "comparisons": pairs,
        "rankings": [ranking for ranking in rankings if ranking is not None],
        "verdict": verdict([row for pair in pairs for row in pair["metrics"]], fail_on, strict=strict),
    }


def verdict(rows: Sequence[Mapping[str, Any]], fail_on: Severity, *, strict: bool) -> dict[str, Any]:
    """The level over all metrics, the exit code that it leads to, and how many metrics are of each class."""
    worse = [row for row in rows if row["class"] == "worse"]
    grave = [row for row in worse if SEVERITIES.index(row["severity"]) >= SEVERITIES.index(fail_on)]
    judged = [row for row in rows if row["better"] != "none" and row["class"] not in ("new", "n/a")]
    open_ = [row for row in judged if row["class"] in ("inconclusive", "gone")]
    level = "none" if not judged else "fail" if grave else "inconclusive" if open_ else "warn" if worse else "pass"
    return {
        "level": level,
        "exit_code": int(level == "fail" or (strict and level == "inconclusive")),
        "fail_on": fail_on,
        "counts": summarise(rows),
    }


def _main(base: Arm, only: Sequence[str]) -> list[str]:
    """The metric by which arms are ranked when none is named: the base's own, unless it was filtered out."""
    wanted = [metric for metric in base.metrics if _is_wanted(metric, only)]
    return [base.headline] if base.headline in wanted else wanted[:1]


def _is_wanted(name: str, only: Sequence[str]) -> bool:
    return not only or any(fnmatchcase(name, pattern) for pattern in only)


def _pair(
    base: Arm,
    candidate: Arm,
    question: Question,
    only: Sequence[str],
    earlier: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    unlike = differences(base, candidate, question.factors)
    against = obstacles(base, candidate, question.factors)
    names = [name for name in sorted({*base.metrics, *candidate.metrics}) if _is_wanted(name, only)]
    rows = [_row(base, candidate, name, question, against, earlier) for name in names]
    return {
        "candidate": candidate.name,
        "obstacles": against,
        "differences": unlike,
        "notes": _notes(base, candidate, question, unlike, rows),
        "metrics": rows,
        "counts": summarise(rows),
    }


def _notes(
    base: Arm,
    candidate: Arm,
    question: Question,
    unlike: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
) -> list[str]:
    found = [f"the declared factor {name} does not differ" for name in undeclared(question.factors, unlike)]
    by_runs = any(
        row["effect"] and row["effect"]["basis"] == "runs" and not row["effect"]["normalised"] for row in rows
    )
    if by_runs and after_one_another(base, candidate):
        found.append(
            "one side was measured wholly before the other, so a host that changed in between would look the same"
        )
    if other_outcome(base, candidate, unlike):
        found.append("the outcomes (losses, tokens) differ although the configuration is the same")
    if base.baseline or candidate.baseline:
        found.append("a baseline keeps the digest of its configuration only, so single keys are not compared")
    return found


def _row(
    base: Arm,
    candidate: Arm,
    name: str,
    question: Question,
    against: Sequence[str],
    earlier: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    answer = judge(base, candidate, name, question, against)
    metric = (candidate.metric(name) or base.metric(name))[-1]
    ours, theirs = centre(base, name, question.stat), centre(candidate, name, question.stat)
    delta = None if ours is None or theirs is None or answer.found == "n/a" else theirs - ours
    floor = noise.floor(base, name, question.stat, earlier) if base.metric(name) else None
    return {
        "metric": name,
        "unit": metric["unit"],
        "better": metric["better"],
        "base": _side(base, name, ours),
        "candidate": _side(candidate, name, theirs),
        "delta": delta,
        "delta_percent": None if delta is None or not ours else 100 * delta / abs(ours),
        "effect": _effect(answer),
        "noise_floor": None if floor is None else {"percent": floor.percent, "runs": floor.runs},
        "class": answer.found,
        "severity": answer.severity,
        "reason": answer.reason,
    }


def _side(arm: Arm, name: str, value: float | None) -> dict[str, Any] | None:
    metrics = arm.metric(name)
    if not metrics:
        return None
    return {"value": value, "n": sum(metric["statistics"]["n"] for metric in metrics), "runs": len(metrics)}


def _effect(answer: Answer) -> dict[str, Any] | None:
    found: Evidence | None = answer.evidence
    if found is None:
        return None
    low, high, estimate = found.shift.low, found.shift.high, found.shift.estimate
    return {
        "basis": found.basis,
        "normalised": found.normalised,
        "percent": found.percent(estimate),
        "low_percent": found.percent(low),
        "high_percent": found.percent(high),
        "difference": None if found.relative else estimate,
    }


def _said(arm: Arm, role: str) -> dict[str, Any]:
    """Who the arm is, for the head of a report."""
    document = arm.first
    host = document["host"]["name"] if arm.baseline else document["environment"].get("hostname")
    times = [document["saved_at"] if arm.baseline else document["started_at"] for document in arm.documents]
    return {
        "name": arm.name,
        "role": role,
        "baseline": arm.baseline,
        "runs": list(arm.run_ids),
        **{key: document[key] for key in ("scenario", "device", "model")},
        "host": host,
        "from": min(times),
        "to": max(times),
    }
