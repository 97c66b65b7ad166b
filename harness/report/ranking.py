"""The settings of one sweep in the order of their headline metric; those that cannot be told apart share a place."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.report.numbers import with_interval
from harness.report.tables import Style, render
from harness.results.document import main_metric

_HEADINGS = ("place", "setting", "metric", "mean ± 95 % CI", "unit")
NOTE = (
    "Places are shared where the intervals touch. The settings ran one after the other: what changed on the host "
    "meanwhile is in the differences. `python -m harness compare … --rank METRIC` judges five runs or more of each."
)


class _Ranked(NamedTuple):
    setting: str
    mean: float
    low: float
    high: float


def ranking_table(jobs: Sequence[tuple[Sequence[str], Mapping[str, Any]]], style: Style) -> str:
    """One row a setting, best first, from the overrides and the result of each job.

    Empty where the jobs are not one scenario under several settings, or its headline metric has no better direction.
    """
    whole = [(words, result) for words, result in jobs if result["status"] == "completed"]
    if len(whole) < 2 or len({result["scenario"] for _, result in whole}) > 1:
        return ""
    metric = main_metric(whole[0][1])
    held = [(words, result) for words, result in whole if metric in result["metrics"]]
    if metric is None or len(held) < 2 or held[0][1]["metrics"][metric]["better"] == "none":
        return ""
    declared = held[0][1]["metrics"][metric]
    ranked = [_ranked(setting, result["metrics"][metric]) for setting, result in _settings(held)]
    best_first = sorted(ranked, key=lambda one: one.mean, reverse=declared["better"] == "higher")
    rows = [
        [str(place), one.setting, metric, with_interval(one.mean, [one.low, one.high]), declared["unit"]]
        for place, one in zip(_places(best_first), best_first, strict=True)
    ]
    return f"{render(_HEADINGS, rows, style, right=('mean ± 95 % CI',))}\n{NOTE}"


def _settings(
    jobs: Sequence[tuple[Sequence[str], Mapping[str, Any]]],
) -> list[tuple[str, Mapping[str, Any]]]:
    """Each job by the overrides that not all of them share."""
    shared = set.intersection(*(set(words) for words, _ in jobs))
    return [(" ".join(word for word in words if word not in shared) or "-", result) for words, result in jobs]


def _ranked(setting: str, metric: Mapping[str, Any]) -> _Ranked:
    """The mean with its interval; without one it could be anywhere, and ties with all."""
    mean = metric["statistics"]["mean"]
    low, high = metric["statistics"]["ci"]["mean"]
    unknown = low is None or high is None
    return _Ranked(setting, mean, float("-inf") if unknown else low, float("inf") if unknown else high)


def _places(best_first: Sequence[_Ranked]) -> list[int]:
    """Who touches the best of a place shares it; two at the first place leave no second."""
    places: list[int] = []
    leader = best_first[0]
    for at, one in enumerate(best_first):
        if one.low <= leader.high and leader.low <= one.high:
            places.append(places[-1] if places else 1)
        else:
            leader = one
            places.append(at + 1)
    return places
