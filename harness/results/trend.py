"""One metric over the stored runs of a scenario: its values in time, and what else changed between them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.errors import NotFound
from harness.measure.canary import CANARY
from harness.measure.stats import percentile
from harness.results.history import History
from harness.results.names import metrics_name
from harness.results.noise import of_runs

SCHEMA = "harness.trend/1"
STATS = ("p50", "mean", "p95", "p99", "min", "max")
_BEFORE = 5  # runs whose median each value is held against


def trend(
    history: History,
    scenario: str,
    metric: str | None,
    stat: str,
    *,
    last: int,
    changes: bool = False,
    **equal: Any,
) -> dict[str, Any]:
    """The trend document: a point a completed run, oldest first; `equal` narrows the runs as `Index.find` does.

    Without a metric it is the one that stands for the newest run in lists. Each point says how far it lies from the
    median of the five before it, as far as they were measured on its host, and which of host, device, model and
    configuration changed since the point before. With `changes` it also says where the metric last changed, over
    the points of the newest one's host and device; that loads the library of change points.

    Raises:
        NotFound: no completed run of the scenario, or none that measured the metric.
    """
    rows = history.index.find(last=last, scenario=scenario, status="completed", **equal)[::-1]
    if not rows:
        raise NotFound(f"no completed run of {scenario!r} matches", "`python -m harness results` lists the runs")
    chosen = metric or rows[-1]["metric"]
    points: list[dict[str, Any]] = []
    names: set[str] = set()
    unit: str | None = None
    better = "lower"
    for row in rows:
        metrics = _metrics(history, row)
        names |= metrics.keys()
        found = metrics.get(chosen)
        if found is not None and isinstance(found.get(stat), int | float):
            unit = unit or found["unit"]
            better = found.get("better", "lower")
            points.append(_point(row, found, stat, points, unit) | {"canary": _canary(metrics)})
    if not points:
        known = ", ".join(sorted(names)) or "nothing"
        raise NotFound(f"no run of {scenario!r} measured {chosen!r}", f"They measured {known}")
    floor = of_runs([point["value"] for point in _like(points, points[-1])])
    return {
        "schema": SCHEMA,
        "scenario": scenario,
        "metric": chosen,
        "stat": stat,
        "unit": unit,
        "noise_floor": None if floor is None else {"percent": floor.percent, "runs": floor.runs},
        "points": points,
        "change": _change(_like(points, points[-1]), better) if changes else None,
    }


def _canary(metrics: Mapping[str, Any]) -> float | None:
    """The median of the reference workload that was timed beside the run, where one was."""
    value = metrics.get(CANARY, {}).get("p50")
    return value if isinstance(value, int | float) and value > 0 else None


def _change(points: Sequence[Mapping[str, Any]], better: str) -> dict[str, Any]:
    """Where the metric last changed; divided by the canaries where every run has one, else the host may be why."""
    from harness.gates.decide.history import last_change

    normalised = all(point["canary"] is not None for point in points)
    values = [point["value"] / (point["canary"] if normalised else 1.0) for point in points]
    if min(values) <= 0:
        return {"verdict": "undecided", "reason": "not all values are positive, so they have no ratio"}
    found = last_change(values, higher_is_better=better == "higher")
    since = None if found.at is None else points[found.at]["run_id"]
    return {**asdict(found), "since": since, "normalised": normalised}


def _metrics(history: History, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The short document of a run; empty where it is missing, of which `verify` tells."""
    try:
        found = json.loads((history.runs / row["run_id"] / metrics_name(row["scenario"])).read_bytes())["metrics"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _point(
    row: Mapping[str, Any], found: Mapping[str, Any], stat: str, before: Sequence[Mapping[str, Any]], unit: str
) -> dict[str, Any]:
    point = {key: row[key] for key in ("run_id", "created_at", "host", "device", "model", "config_digest", "verdict")}
    value = found[stat] if found["unit"] == unit else None
    point |= {"value": value, "n": found["n"]}
    earlier = sorted(one["value"] for one in _like(before, point)[-_BEFORE:])
    middle = percentile(earlier, 0.5) if earlier else None
    changed = None if middle in (None, 0) or value is None else 100 * (value - middle) / abs(middle)
    last = before[-1] if before else point
    facts = {"config_digest": "configuration", "host": "host", "device": "device", "model": "model"}
    return {
        **point,
        "percent_of_before": changed,
        "changed": [name for key, name in facts.items() if point[key] != last[key]],
    }


def _like(points: Sequence[Mapping[str, Any]], point: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The points of the same host and device, with a value."""
    facts = ("host", "device")
    return [one for one in points if one["value"] is not None and all(one[key] == point[key] for key in facts)]
