"""The result document of one run, built from what was measured, and sealed with its digests."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.measure.catalogue import Metric
from harness.measure.instrument import SHARE_LIMIT, InstrumentError, assess, refusal
from harness.measure.samples import Series
from harness.measure.stats import ADVICE, summarize
from harness.results.canonical import clean, digest

SCHEMA = "harness.result/1"
METRICS_SCHEMA = "harness.scenario_metrics/1"
RAW_SAMPLES = 10_000  # raw samples of a metric in the document; all of them stay in samples.bin
DURATION = "iteration.duration_ms"
_NO_VERDICT = {"level": "none", "strict": False, "rules": [], "messages": []}
_SHORT = ("mean", "p50", "p95", "p99", "min", "max", "n")


def build_result(
    run: Mapping[str, Any],
    *,
    iterations: Mapping[str, int],
    series: Mapping[str, Series],
    catalogue: Mapping[str, Metric],
    events: Mapping[str, int] | None = None,
    instrument: Mapping[str, InstrumentError] | None = None,
    error_share_limit: float = SHARE_LIMIT,
    errors: Iterable[Mapping[str, Any]] = (),
    telemetry: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    process: Mapping[str, Any] | None = None,
    samples_digest: str | None = None,
    outcome: str | None = None,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """A whole, valid result document without a verdict yet (see `conclude`).

    `run` holds run_id, trace_id, scenario, device, status, started_at, finished_at, duration_s, config (redacted),
    choices, and may hold model, reason, overrides, tags, contended, resumed. `iterations` holds warmup, planned,
    completed (all that came to an end, failed ones included) and failed. `instrument` holds what the measured process
    said of its own error, by metric; one beyond `error_share_limit` of the median stamps the result. Numbers that JSON
    does not have become null, and a warning says where. An undeclared metric is refused where it is recorded, so all
    names are in the catalogue.
    """
    notes: list[str] = []
    config = clean(run["config"], "config", notes)
    metrics = {name: _metric(catalogue[name], found) for name, found in sorted(series.items()) if found.values}
    for name, error in (instrument or {}).items():
        if name in metrics:
            metrics[name]["error"] = assess(error, metrics[name]["statistics"]["p50"], error_share_limit)
    unmeasurable = [name for name, metric in metrics.items() if refusal(name, metric)]
    document = {
        "schema": SCHEMA,
        **{key: run[key] for key in ("run_id", "trace_id", "scenario", "device")},
        "model": run.get("model"),
        "status": run["status"],
        "reason": clean(run.get("reason"), "reason", notes),
        "verdict": dict(_NO_VERDICT),
        "exit_code": 0,
        **{key: run[key] for key in ("started_at", "finished_at", "duration_s")},
        "iterations": _iterations(iterations),
        "metrics": metrics,
        "events": dict(sorted((events or {}).items())),
        "errors": clean(list(errors), "errors", notes),
        "telemetry": clean(telemetry or {}, "telemetry", notes),
        "environment": clean(environment or {}, "environment", notes),
        "process": clean(process or {}, "process", notes),
        "config": config,
        "choices": clean(run["choices"], "choices", notes),
        "overrides": clean(list(run.get("overrides", ()))),
        "tags": clean(list(run.get("tags", ()))),
        "warnings": [*_refusals(metrics, unmeasurable), *warnings, *_metric_warnings(metrics), *notes],
        "contended": bool(run.get("contended", False)),
        "unmeasurable": unmeasurable,
        "digests": {"config": digest(config), "samples": samples_digest, "outcome": outcome},
        **({"resumed": clean(run["resumed"], "resumed", notes)} if run.get("resumed") else {}),
    }
    return seal(document)


def conclude(document: Mapping[str, Any], verdict: Mapping[str, Any], exit_code: int) -> dict[str, Any]:
    """The document with its verdict and exit code, sealed anew."""
    return seal({**document, "verdict": dict(verdict), "exit_code": exit_code})


def seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the digest over everything else in it."""
    digests = {key: value for key, value in document["digests"].items() if key != "result"}
    return {**document, "digests": {**digests, "result": digest({**document, "digests": digests})}}


def is_sealed(document: Mapping[str, Any]) -> bool:
    """Whether the document still is what was sealed."""
    return bool(seal(document)["digests"]["result"] == document["digests"].get("result"))


def scenario_metrics(document: Mapping[str, Any]) -> dict[str, Any]:
    """The short canonical document `<scenario>_metrics.json`, for those who only want the numbers of a scenario."""
    return {
        "schema": METRICS_SCHEMA,
        **{key: document[key] for key in ("scenario", "run_id", "device")},
        "host": host_of(document),
        "metrics": {
            name: {
                "unit": metric["unit"],
                **{stat: metric["statistics"][stat] for stat in _SHORT},
                **({"plus_minus": metric["error"]["plus_minus"]} if "error" in metric else {}),
            }
            for name, metric in document["metrics"].items()
        },
        "events": document["events"],
        "verdict": document["verdict"]["level"],
    }


def host_of(document: Mapping[str, Any]) -> str | None:
    """The host that measured, as the environment names it."""
    found = document["environment"].get("hostname")
    return found if isinstance(found, str) else None


def main_metric(document: Mapping[str, Any]) -> str | None:
    """The metric that stands for a run in one-line views: the first that a rule judges, else the iteration's time."""
    metrics = document["metrics"]
    judged = [rule["metric"] for rule in document["verdict"]["rules"] if rule.get("metric") in metrics]
    if judged:
        return str(judged[0])
    return DURATION if DURATION in metrics else next(iter(metrics), None)


def _metric(declared: Metric, series: Series) -> dict[str, Any]:
    lows, highs = (series.lows, series.highs) if series.has_intervals else (None, None)
    return {
        "unit": declared.unit,
        "kind": declared.kind,
        "better": declared.better,
        "meaning": declared.meaning,
        "statistics": summarize(series.values, lows, highs, kind=declared.kind),
        "samples": _thinned(series.values),
        "samples_total": len(series.values),
    }


def _thinned(values: Sequence[float]) -> list[float]:
    """All samples, or as many as the document keeps, spread evenly over the run so that its course stays visible."""
    total = len(values)
    if total <= RAW_SAMPLES:
        return list(values)
    return [values[i * total // RAW_SAMPLES] for i in range(RAW_SAMPLES)]


def _iterations(counted: Mapping[str, int]) -> dict[str, Any]:
    completed, failed = counted["completed"], counted["failed"]
    found: dict[str, Any] = {key: counted[key] for key in ("warmup", "planned", "completed", "failed")}
    return {**found, "error_rate": failed / completed if completed else 0.0}


def _refusals(metrics: Mapping[str, Mapping[str, Any]], unmeasurable: Sequence[str]) -> list[str]:
    """One line for all metrics that their instrument could not measure, the worst in full."""
    if not unmeasurable:
        return []
    shares = {name: metrics[name]["error"]["share"] for name in unmeasurable}
    worst = max(unmeasurable, key=lambda name: math.inf if shares[name] is None else shares[name])
    others = [name for name in unmeasurable if name != worst]
    return [f"{refusal(worst, metrics[worst])}" + (f"; nor are {', '.join(others)}" if others else "")]


def _metric_warnings(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line for unstable metrics and one for far outliers, the worst by name, so that the advice stands once."""
    unstable = {name: metric["statistics"] for name, metric in metrics.items() if metric["statistics"]["unstable"]}
    spread = {name: found["std"] / abs(found["mean"]) for name, found in unstable.items()}
    far = {name: found["outliers"]["severe"] / found["n"] for name, found in unstable.items()}
    far = {name: share for name, share in far.items() if share}
    lines = []
    if spread:
        lines.append(f"{_counted(spread, 'unstable (standard deviation over mean)')}; {ADVICE['unstable']}")
    if far:
        lines.append(f"{_counted(far, 'with far outliers (share of the samples)')}; {ADVICE['outliers']}")
    return lines


def _counted(shares: Mapping[str, float], what: str) -> str:
    """How many metrics, and the three worst; the table shows them all."""
    worst = sorted(shares, key=lambda name: -shares[name])[:3]
    named = ", ".join(f"{name} {100 * shares[name]:.0f} %" for name in worst)
    more = ", and others" if len(shares) > len(worst) else ""
    return f"{len(shares)} metric{'s' if len(shares) > 1 else ''} {what}: {named}{more}"
