"""Which of several arms is best by a metric, with those that cannot be told apart sharing a place."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.results.arms import Arm
from harness.results.differences import obstacles
from harness.results.evidence import centre
from harness.results.judgement import Question, judge


def rank(arms: Sequence[Arm], metric: str, question: Question) -> dict[str, Any] | None:
    """The places, best first; None where fewer than two arms hold the metric or no direction is better.

    An arm shares the place above it unless it was judged worse than that place's best.
    """
    known = [arm for arm in arms if centre(arm, metric, question.stat) is not None]
    if len(known) < 2 or known[0].metric(metric)[-1]["better"] == "none":
        return None
    first = known[0].metric(metric)[-1]
    sign = 1 if first["better"] == "lower" else -1
    known.sort(key=lambda arm: sign * (centre(arm, metric, question.stat) or 0.0))
    places: list[list[Arm]] = []
    reasons: list[str | None] = []
    for arm in known:
        reason = None if not places else _not_worse(places[-1][0], arm, metric, question)
        if places and reason is not None:
            places[-1].append(arm)
            reasons[-1] = reasons[-1] or reason
        else:
            places.append([arm])
            reasons.append(None)
    return {
        "metric": metric,
        "stat": question.stat,
        "unit": first["unit"],
        "better": first["better"],
        "places": [_place(number, place, metric, question) for number, place in _numbered(places)],
        "winner": places[0][0].name if len(places[0]) == 1 else None,
        "tie": reasons[0],
    }


def _not_worse(best: Arm, arm: Arm, metric: str, question: Question) -> str | None:
    """Why the arm shares the place of the best one; None when it is worse."""
    answer = judge(best, arm, metric, question, obstacles(best, arm, question.factors))
    if answer.found == "worse":
        return None
    return answer.reason or f"the difference is within {question.tolerance_percent:g} %"


def _numbered(places: Sequence[Sequence[Arm]]) -> list[tuple[int, Sequence[Arm]]]:
    """Two at the first place leave no second, as in sports."""
    found, number = [], 1
    for place in places:
        found.append((number, place))
        number += len(place)
    return found


def _place(number: int, arms: Sequence[Arm], metric: str, question: Question) -> Mapping[str, Any]:
    return {
        "place": number,
        "arms": [{"name": arm.name, "value": centre(arm, metric, question.stat)} for arm in arms],
    }
