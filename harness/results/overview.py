"""What happened: the stored runs of a time counted by scenario, status and verdict, with what took long and failed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.measure.stats import percentile

SCHEMA = "harness.summary/1"
_MOST_TROUBLED = 10
ETA_WITHIN = 0.2


def overview(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The summary document of these rows of the index, newest first."""
    scenarios = list(dict.fromkeys(row["scenario"] for row in rows))
    troubled = [row for row in rows if row["status"] in ("failed", "crashed") or row["verdict"] == "fail"]
    return {
        "schema": SCHEMA,
        "runs": len(rows),
        "from": rows[-1]["created_at"] if rows else None,
        "to": rows[0]["created_at"] if rows else None,
        "measured_s": _total(rows),
        "eta": _eta(rows),
        "statuses": dict(sorted(Counter(row["status"] for row in rows).items())),
        "verdicts": dict(sorted(Counter(row["verdict"] for row in rows if row["verdict"]).items())),
        "hosts": sorted({row["host"] for row in rows if row["host"]}),
        "pinned": sum(bool(row["pinned"]) for row in rows),
        "scenarios": [_scenario(name, [row for row in rows if row["scenario"] == name]) for name in scenarios],
        "troubled": [
            {key: row[key] for key in ("run_id", "created_at", "scenario", "status", "verdict")}
            for row in troubled[:_MOST_TROUBLED]
        ],
        "troubled_total": len(troubled),
    }


def _scenario(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    newest = rows[0]
    same = [row["p50"] for row in rows if row["metric"] == newest["metric"] and row["p50"] is not None]
    rates = [row["error_rate"] for row in rows if row["error_rate"] is not None]
    return {
        "scenario": name,
        "runs": len(rows),
        "statuses": dict(sorted(Counter(row["status"] for row in rows).items())),
        "verdicts": dict(sorted(Counter(row["verdict"] for row in rows if row["verdict"]).items())),
        "measured_s": _total(rows),
        "worst_error_rate": max(rates, default=None),
        "metric": newest["metric"],
        "unit": newest["unit"],
        "newest_p50": newest["p50"],
        "median_p50": percentile(sorted(same), 0.5) if same else None,
        "newest": newest["run_id"],
    }


def _eta(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How good the ETA after the second step was: in how many runs it was given, and within 20 % of what was left."""
    errors = sorted(abs(row["eta_error"]) for row in rows if row.get("eta_error") is not None)
    within = sum(error <= ETA_WITHIN for error in errors)
    return {
        "runs": len(errors),
        "within_20pct": within,
        "median_error_percent": 100 * percentile(errors, 0.5) if errors else None,
    }


def _total(rows: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(row["duration_s"] or 0.0 for row in rows))
