"""pyperf's JSON: values of several processes, each after its own warm-up."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import RefusedError
from harness.measure.catalogue import Metric
from harness.results.foreign.benchmark import DURATION, Benchmark, environment, needs, numbers, time_metric, when

# pyperf's units: what one of its values is in ours.
_UNITS: Mapping[str, tuple[Metric, float]] = {
    "second": (time_metric(DURATION, "one value of pyperf: the time of one loop"), 1e3),
    "byte": (Metric("pyperf.memory_mb", "MB", "histogram", "lower", "one value of pyperf: memory"), 2**-20),
    "integer": (Metric("pyperf.count", "1", "histogram", "none", "one value of pyperf: a number"), 1.0),
}
_RSS = Metric("pyperf.peak_rss_mb", "MB", "histogram", "lower", "peak resident memory of one process")


def is_ours(found: Any) -> bool:
    """Whether this is a file of pyperf."""
    suite = found.get("benchmarks") if isinstance(found, Mapping) else None
    return isinstance(suite, list) and bool(suite) and isinstance(suite[0], Mapping) and "runs" in suite[0]


def benchmarks(found: Mapping[str, Any], written_at: float) -> Iterator[Benchmark]:
    """One benchmark each; runs that only calibrate have no values.

    Raises:
        RefusedError: the file is damaged, or a unit is unknown.
    """
    shared = found.get("metadata") or {}
    for number, each in enumerate(found["benchmarks"]):
        place = f"benchmarks.{number}"
        facts = {**shared, **(each.get("metadata") or {})}
        runs = [run for run in needs(each, "runs", list, place) if run.get("values")]
        metric, scale = _unit(facts.get("unit", "second"), place)
        values = [scale * value for run in runs for value in numbers(run["values"], f"{place}.values")]
        about = [run.get("metadata") or {} for run in runs]
        peaks = [one["mem_max_rss"] / 2**20 for one in about if isinstance(one.get("mem_max_rss"), int)]
        dates = [date for date in (when(one.get("date")) for one in about) if date is not None]
        duration_s = sum(one.get("duration", 0.0) for one in about)
        yield Benchmark(
            name=needs(facts, "name", str, f"{place}.metadata"),
            started_at=min(dates, default=written_at),
            duration_s=float(duration_s),
            metrics={metric.name: (metric, values), _RSS.name: (_RSS, peaks)},
            config={"processes": len(runs), **{key: facts[key] for key in ("loops", "timeit_stmt") if key in facts}},
            environment=_environment(facts),
            warnings=["pyperf's times have no zone and are taken as UTC"] if dates else [],
        )


def _unit(name: Any, place: str) -> tuple[Metric, float]:
    if name not in _UNITS:
        raise RefusedError(f"{place}: the unit {name!r} is none of {', '.join(_UNITS)}", "Leave it out of the file")
    return _UNITS[name]


def _environment(facts: Mapping[str, Any]) -> dict[str, Any]:
    return environment(
        facts.get("hostname"),
        {
            "cpu": {"model": facts.get("cpu_model_name"), "cores": facts.get("cpu_count")},
            "os": facts.get("platform"),
            "python": {"version": facts.get("python_version"), "implementation": facts.get("python_implementation")},
        },
    )
