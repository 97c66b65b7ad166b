"""The facts of a finished run that recommendations are about: what its result says, and a few ratios of it.

Names are those of the rules in `conf/recommend/rules/`:

    metric.NAME.STAT       a statistic of a metric
    sensor.NAME.STAT       of a telemetry sensor: mean, min, max, last
    event.NAME             how often an event happened
    reason.KIND            1 where the run ended for this reason (timeout, out_of_memory, …), else 0
    errors.share           failed iterations over completed ones
    cpu.allowed            CPUs on which the work may run
    cpu.share              CPU time of the work over wall time, of those CPUs
    cpu.others             CPUs of the host that others kept busy
    memory.peak_mb         the most memory that was seen: by the sampler, or by the kernel at the worker's exit
    memory.limit_share     that over limits.memory_mb
    sampler.samples        how many telemetry samples were taken
    sampler.percent        the sampler's own CPU time over wall time
    warmup.ratio           the first tenth of the measured iterations over the median of the rest
    warmup.slow            how many iterations from the first on took over 1.5 times the median of the second half
    throughput.per_s       iterations a second, from the median iteration
    throughput.below       by which share that is under the baseline, or under the documented default without one
    throughput.expected    what it was compared with, in iterations a second
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

DURATION = "iteration.duration_ms"
CANARY = "canary.duration_ms"
SLOW = 1.5
_FEWEST = 10  # iterations, for a first tenth to be one
Facts = dict[str, float | str]


def facts_of(document: Mapping[str, Any], expected: Mapping[str, Any] | None = None) -> Facts:
    """The facts of a result document; `expected` is what its throughput is compared with (see `expectation`)."""
    found: Facts = {"scenario": document["scenario"], "device": document["device"]}
    for name, metric in document["metrics"].items():
        for stat, value in metric["statistics"].items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[f"metric.{name}.{stat}"] = value
    for name, sensor in document["telemetry"].get("sensors", {}).items():
        for stat in ("mean", "min", "max", "last"):
            if isinstance(sensor.get(stat), int | float):
                found[f"sensor.{name}.{stat}"] = sensor[stat]
    found |= {f"event.{name}": count for name, count in document["events"].items()}
    reason = (document["reason"] or {}).get("kind")
    found |= {f"reason.{kind}": float(kind == reason) for kind in ("timeout", "out_of_memory", "lost", "error")}
    found["errors.share"] = document["iterations"]["error_rate"]
    found["iterations.planned"] = document["iterations"]["planned"]
    found["iterations.completed"] = document["iterations"]["completed"]
    found["measure.timeout_s"] = document["config"].get("measure", {}).get("timeout_s", 0.0)
    return (
        found | _cpu(document, found) | _memory(document, found) | _warmup(document) | _throughput(document, expected)
    )


def _cpu(document: Mapping[str, Any], found: Facts) -> Facts:
    cpu, affinity = document["environment"].get("cpu", {}), document["config"].get("affinity") or {}
    pinned = affinity.get("cpus")
    allowed = len(pinned) if pinned else cpu.get("usable")
    facts: Facts = {}
    sampler = document["telemetry"].get("sampler")
    if sampler is not None:
        facts |= {"sampler.percent": 100.0 * sampler["cpu_share"], "sampler.samples": sampler["samples"]}
    used = found.get("sensor.tree.cpu_percent.mean")
    if allowed and isinstance(used, int | float):
        facts |= {"cpu.allowed": float(allowed), "cpu.share": used / 100.0 / allowed}
        host = found.get("sensor.host.cpu_percent.mean")
        if isinstance(host, int | float):
            facts["cpu.others"] = max(0.0, host / 100.0 * cpu.get("cores", allowed) - used / 100.0)
    return facts


def _memory(document: Mapping[str, Any], found: Facts) -> Facts:
    limit_mb = (document["config"].get("limits") or {}).get("memory_mb")
    sampled_mb = found.get("sensor.tree.peak_rss_mb.max")
    at_exit_kb = document["process"].get("rusage", {}).get("ru_maxrss")  # of one process, and never between two samples
    peaks_mb = [float(sampled_mb)] if isinstance(sampled_mb, int | float) else []
    peaks_mb += [at_exit_kb / 1024] if at_exit_kb else []
    peak: Facts = {"memory.peak_mb": max(peaks_mb)} if peaks_mb else {}
    if not limit_mb:
        return peak
    share: Facts = {"memory.limit_share": max(peaks_mb) / limit_mb} if peaks_mb else {}
    return {"memory.limit_mb": float(limit_mb), **peak, **share}


def _warmup(document: Mapping[str, Any]) -> Facts:
    """Whether the first measured iterations are still on their way to the usual time."""
    samples: Sequence[float] = document["metrics"].get(DURATION, {}).get("samples", ())
    if len(samples) < _FEWEST:
        return {}
    first = max(1, len(samples) // 10)
    rest, usual = median(samples[first:]), median(samples[len(samples) // 2 :])
    slow = next((i for i, value in enumerate(samples) if value <= SLOW * usual), len(samples))
    return {"warmup.ratio": fmean(samples[:first]) / rest if rest else 1.0, "warmup.slow": float(slow)}


def _throughput(document: Mapping[str, Any], expected: Mapping[str, Any] | None) -> Facts:
    per_s = iterations_per_s(document["metrics"])
    if per_s is None:
        return {}
    facts: Facts = {"throughput.per_s": per_s}
    if expected is None:
        return facts
    canaries = [_p50(side, CANARY) for side in (document["metrics"], expected.get("metrics") or {})]
    if all(canaries):
        per_s *= canaries[0] / canaries[1]  # as fast as this host was for the reference work
        facts["throughput.per_s"] = per_s
    below = max(0.0, 1.0 - per_s / expected["per_s"])
    return {
        **facts,
        "throughput.expected": expected["per_s"],
        "throughput.below": below,
        "throughput.below_percent": 100.0 * below,
        "throughput.source": expected["source"],
    }


def iterations_per_s(metrics: Mapping[str, Any]) -> float | None:
    """Iterations a second from the median iteration, None where none was measured."""
    middle = _p50(metrics, DURATION)
    return 1000.0 / middle if middle else None


def _p50(metrics: Mapping[str, Any], name: str) -> Any:
    return metrics.get(name, {}).get("statistics", {}).get("p50")
