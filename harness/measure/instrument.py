"""The error of the instrument itself: how far it may have moved the values of a metric, and whether that matters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHARE_LIMIT = 0.05  # of the median, where a configuration says nothing; conf/config.yaml has the key


@dataclass(frozen=True)
class InstrumentError:
    """Plus or minus so much, in the metric's unit, and how that was found."""

    plus_minus: float
    basis: str


def assess(error: InstrumentError, median: float, limit: float) -> dict[str, Any]:
    """The error as the result stores it, with its share of the median and whether the metric is measurable here.

    `share` is None where the median is 0: no error but 0 is a small part of that.
    """
    share = error.plus_minus / abs(median) if median else None
    measurable = error.plus_minus == 0 if share is None else share <= limit
    return {
        "plus_minus": error.plus_minus,
        "share": share,
        "limit": limit,
        "measurable": measurable,
        "basis": error.basis,
    }


def refusal(name: str, metric: Mapping[str, Any]) -> str | None:
    """Why nothing may be concluded from a metric of a result document, None where its error is small or not known."""
    error = metric.get("error")
    if error is None or error["measurable"]:
        return None
    share = "its median is 0" if error["share"] is None else f"{100 * error['share']:.3g} % of its median"
    said = f"{name} ± {error['plus_minus']:.4g} {metric['unit']}".rstrip()
    return f"not measurable here: {said} is {share}, over the limit of {100 * error['limit']:g} % ({error['basis']})"
