"""The noise floor of a metric: the change that two runs of one unchanged configuration show by chance."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.measure.stats import percentile
from harness.results.arms import Arm
from harness.results.evidence import RUNS
from harness.results.history import History
from harness.results.names import metrics_name

_MOST_EARLIER = 20  # runs that are read for it
_OF_A_MAD = 1.4826  # standard deviations of a normal distribution in its median absolute deviation
_TWO_RUNS_AT_99 = 2.576 * math.sqrt(2)  # standard deviations of one run that a difference of two exceeds in 1 of 100


class Floor(NamedTuple):
    """In percent of the value; `runs` says from how many runs, 1 that it is a run's own interval and so too low."""

    percent: float
    runs: int


def of_runs(values: Sequence[float]) -> Floor | None:
    """From the same statistic of several runs of one configuration; None from fewer than five, or through zero."""
    if len(values) < RUNS or min(values) <= 0:
        return None
    logs = sorted(math.log(value) for value in values)
    middle = percentile(logs, 0.5)
    deviation = percentile(sorted(abs(value - middle) for value in logs), 0.5)
    return Floor(100 * math.expm1(min(_TWO_RUNS_AT_99 * _OF_A_MAD * deviation, 700.0)), len(values))


def within_run(metric: Mapping[str, Any], stat: str) -> Floor | None:
    """From a run's own interval: what is left of the noise when the host and the process stay as they are."""
    value = metric["statistics"][stat]
    low, high = metric["statistics"]["ci"].get(stat, (None, None))
    if not value or low is None or high is None:
        return None
    return Floor(100 * (high - low) / 2 / abs(value), 1)


def floor(arm: Arm, name: str, stat: str, earlier: Mapping[str, Sequence[float]]) -> Floor | None:
    """The noise floor of a metric of this arm: from its own runs, from `earlier` ones, else from within its run."""
    values = [metric["statistics"][stat] for metric in arm.metric(name)]
    found = None if None in values else of_runs(values)
    found = found or of_runs(earlier.get(name, ()))
    return found or (within_run(arm.metric(name)[-1], stat) if values else None)


def earlier_values(history: History, arm: Arm, stat: str) -> dict[str, list[float]]:
    """The statistic of each metric in the newest completed runs of the arm's configuration on its host."""
    document = arm.first
    if arm.baseline:
        digest, host = document["config_digest"], document["host"]["name"]
    else:
        digest, host = document["digests"]["config"], document["environment"].get("hostname")
    rows = history.index.find(last=_MOST_EARLIER, status="completed", config_digest=digest, host=host)
    found: dict[str, list[float]] = {}
    for row in rows:
        path = history.runs / row["run_id"] / metrics_name(row["scenario"])
        try:
            metrics = json.loads(path.read_bytes())["metrics"]
        except (OSError, ValueError, KeyError):
            continue  # a floor from fewer runs is still one; `verify` tells of files that are lost
        for name, metric in metrics.items():
            if isinstance(metric.get(stat), int | float):
                found.setdefault(name, []).append(metric[stat])
    return found
