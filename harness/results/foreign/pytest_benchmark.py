"""pytest-benchmark's JSON: rounds of each test, whose raw times are there only where they were asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.measure.catalogue import Metric
from harness.results.foreign.benchmark import DURATION, Benchmark, environment, needs, numbers, time_metric, when

_TIME = time_metric(DURATION, "time of one call of the tested function, the mean of a round")
_STATED = {
    "median": time_metric("pytest_benchmark.median_ms", "the median over the rounds, as the file states it"),
    "mean": time_metric("pytest_benchmark.mean_ms", "the mean over the rounds, as the file states it"),
    "min": time_metric("pytest_benchmark.min_ms", "the fastest round, as the file states it"),
    "max": time_metric("pytest_benchmark.max_ms", "the slowest round, as the file states it"),
    "stddev": time_metric("pytest_benchmark.stddev_ms", "their standard deviation, as the file states it"),
}
_ROUNDS = Metric("pytest_benchmark.rounds", "1", "counter", "none", "rounds, as the file states it")


def is_ours(found: Any) -> bool:
    """Whether this is a file of pytest-benchmark."""
    tests = found.get("benchmarks") if isinstance(found, Mapping) else None
    return isinstance(tests, list) and "machine_info" in found


def benchmarks(found: Mapping[str, Any], written_at: float) -> Iterator[Benchmark]:
    """One benchmark a test.

    Raises:
        RefusedError: the file is damaged.
    """
    started_at = when(found.get("datetime")) or written_at
    machine = _environment(found["machine_info"] or {}, found.get("commit_info") or {})
    for number, each in enumerate(found["benchmarks"]):
        place = f"benchmarks.{number}"
        stats = needs(each, "stats", dict, place)
        rounds = numbers(stats.get("data") or [], f"{place}.stats.data")
        if rounds:
            metrics: dict[str, tuple[Metric, list[float]]] = {_TIME.name: (_TIME, [1e3 * value for value in rounds])}
        else:
            metrics = {
                **{one.name: (one, [1e3 * needs(stats, key, float, place)]) for key, one in _STATED.items()},
                _ROUNDS.name: (_ROUNDS, [float(needs(stats, "rounds", int, place))]),
            }
        yield Benchmark(
            name=needs(each, "fullname", str, place),
            started_at=started_at,
            duration_s=float(stats.get("total") or 0.0),
            metrics=metrics,
            config={"group": each.get("group"), "params": each.get("params"), "options": each.get("options") or {}},
            environment=machine,
            warnings=[] if rounds else ["no raw times: the file was written without --benchmark-save-data"],
        )


def _environment(machine: Mapping[str, Any], commit: Mapping[str, Any]) -> dict[str, Any]:
    known = machine.get("cpu")
    cpu = known if isinstance(known, Mapping) else {}
    return environment(
        machine.get("node"),
        {
            "cpu": {"model": cpu.get("brand_raw"), "cores": cpu.get("count")},
            "machine": machine.get("machine"),
            "os": machine.get("system"),
            "kernel": machine.get("release"),
            "python": {
                "version": machine.get("python_version"),
                "implementation": machine.get("python_implementation"),
            },
            "git": {"commit": commit.get("id"), "branch": commit.get("branch"), "dirty": commit.get("dirty")},
        },
    )
