"""What is said of one metric of two arms: worse, better, same, changed, or why it cannot be told; and how severe."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from harness.results import evidence
from harness.results.arms import Arm
from harness.results.differences import after_one_another
from harness.results.evidence import Evidence

Class = Literal["worse", "better", "same", "changed", "inconclusive", "new", "gone", "n/a"]
CLASSES: tuple[Class, ...] = ("worse", "gone", "inconclusive", "changed", "better", "new", "same", "n/a")

Severity = Literal["minor", "moderate", "major", "critical"]
SEVERITIES: tuple[Severity, ...] = ("minor", "moderate", "major", "critical")
_BELOW_PERCENT: tuple[tuple[float, Severity], ...] = ((10.0, "minor"), (25.0, "moderate"), (50.0, "major"))


class Question(NamedTuple):
    """How arms are compared: by which statistic, beyond which change in percent, with which factors declared."""

    stat: str = "p50"
    tolerance_percent: float = 5.0
    factors: Sequence[str] = ()

    def alarm_percent(self, basis: str) -> float:
        """The estimate beyond which a change counts.

        Half the tolerance where several runs speak. One process differs from the next by a standard deviation of 1.8 %
        though nothing changed (34 pairs of processes), so single runs have to differ by the whole tolerance.
        """
        return {"exact": 0.0, "runs": self.tolerance_percent / 2}.get(basis, self.tolerance_percent)


class Answer(NamedTuple):
    """The class of a change, its severity where it is for the worse, and the reason where nothing can be claimed."""

    found: Class
    severity: Severity | None
    reason: str | None
    evidence: Evidence | None


def judge(base: Arm, candidate: Arm, name: str, question: Question, obstacles: Sequence[str]) -> Answer:
    """The answer for a metric that at least one of the arms holds."""
    ours, theirs = base.metric(name), candidate.metric(name)
    if not ours or not theirs:
        return Answer("gone" if ours else "new", None, None, None)
    unlike = _unlike(base, candidate, name, question.stat)
    if unlike is not None:
        return Answer("n/a", None, unlike, None)
    found = evidence.weigh(base, candidate, name, question.stat)
    better = theirs[-1]["better"]
    severity = severity_of(found, better)
    reason = obstacles[0] if obstacles else found.why_not
    if reason is not None:
        return Answer("inconclusive", severity, reason, found)
    said = _classify(found, better, question)
    if said not in ("same", "inconclusive") and (doubt := _drift(base, candidate, name, question.stat, found)):
        return Answer("inconclusive", severity, doubt, found)
    if said == "inconclusive":
        return Answer(said, severity, _undecided(found, question), found)
    return Answer(said, severity if said == "worse" else None, None, found)


def severity_of(found: Evidence, better: str) -> Severity | None:
    """How severe the change would be if it is real: by its size, None where it is not for the worse."""
    if better == "none" or not _is_adverse(found.shift.estimate, better):
        return None
    percent = found.percent(found.shift.estimate)
    if percent is None:  # from nothing, or through zero: larger than any share of the base
        return "critical"
    size = round(abs(percent), 9)  # a logarithm and back must not make 50 % a little less
    return next((name for below, name in _BELOW_PERCENT if size < below), "critical")


def _drift(base: Arm, candidate: Arm, name: str, stat: str, found: Evidence) -> str | None:
    """Why a difference between runs may be the host's, None where it cannot be.

    Where one side came wholly before the other, a host that drifts looks like a change. Over ten runs, a steady drift
    moves the middle of a side by 5 steps and spans 4 within it, so a change has to be twice what a side spans. Sixty
    runs of one configuration on a busy host, compared five with the next five, gave 3 false alarms in 51 without this.
    """
    sides = [arm.metric(name) for arm in (base, candidate)]
    if found.basis != "runs" or found.normalised or not found.relative or not evidence.is_time(sides[0][0]["unit"]):
        return None
    if not after_one_another(base, candidate):
        return None
    values = [[metric["statistics"][stat] for metric in side] for side in sides]
    span = max(max(side) / min(side) for side in values)
    size = found.percent(found.shift.estimate)
    if size is not None and _factor(size) > span**2:
        return None
    return (
        f"one side was measured wholly before the other, and the runs of one side span {100 * (span - 1):.0f} %; "
        "store runs of both in turn, with measure.canary=true, or measure side by side with `python -m harness ab`"
    )


def _unlike(base: Arm, candidate: Arm, name: str, stat: str) -> str | None:
    """Why two metrics of one name are not the same quantity, None when they are."""
    for fact in ("unit", "kind", "better"):
        values = {str(metric[fact]) for arm in (base, candidate) for metric in arm.metric(name)}
        if len(values) > 1:
            return f"its {fact} differs: {' and '.join(sorted(values))}"
    if any(name in document.get("unmeasurable", ()) for arm in (base, candidate) for document in arm.documents):
        return "its instrument errs by more than its limit"
    if None in (evidence.centre(base, name, stat), evidence.centre(candidate, name, stat)):
        return f"a run has no {stat} of it"
    return None


def _classify(found: Evidence, better: str, question: Question) -> Class:
    low, high, estimate = found.shift.low, found.shift.high, found.shift.estimate
    if low is None or high is None:
        return "inconclusive"
    apart = (low > 0 or high < 0) and _is_large(found, question.alarm_percent(found.basis))
    if apart:
        if better == "none":
            return "changed"
        return "worse" if _is_adverse(estimate, better) else "better"
    return "same" if _is_within(found, question.tolerance_percent) else "inconclusive"


def _is_large(found: Evidence, percent: float) -> bool:
    size = found.percent(found.shift.estimate)
    return size is None or _factor(size) > 1 + percent / 100 or percent == 0


def _is_within(found: Evidence, percent: float) -> bool:
    """Whether the whole interval lies within the tolerance; what is no relative change is the same only if equal."""
    bounds = [found.percent(found.shift.low), found.percent(found.shift.high)]
    if None in bounds:
        return found.shift.low == found.shift.high == 0
    return all(_factor(bound) <= 1 + percent / 100 for bound in bounds if bound is not None)


def _factor(percent: float) -> float:
    """How many times the larger is the smaller: +25 % and -20 % are one size."""
    ratio = 1 + percent / 100
    return ratio if ratio >= 1 else 1 / max(ratio, 1e-300)


def _is_adverse(estimate: float, better: str) -> bool:
    return estimate > 0 if better == "lower" else estimate < 0


def _undecided(found: Evidence, question: Question) -> str:
    """What the data could see, and what to do to see more."""
    low, high = found.percent(found.shift.low), found.percent(found.shift.high)
    if low is None or high is None:
        return "the interval has no bounds or no percentage; store more runs of both"
    if found.shift.low is not None and found.shift.high is not None and (found.shift.low > 0 or found.shift.high < 0):
        alarm = question.alarm_percent(found.basis)
        return f"real, but the estimate is within {alarm:g} % and the interval is not within the tolerance"
    smallest = 100 * ((1 + high / 100) / (1 + low / 100)) ** 0.5 - 100
    return f"the smallest change that these data could show is about {smallest:.1f} %; store more runs of both"


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows are of each class, those that occur."""
    counts = {name: sum(row["class"] == name for row in rows) for name in CLASSES}
    return {name: count for name, count in counts.items() if count}
