"""hyperfine's `--export-json`: wall times of shell commands, with user and system time as means only."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.measure.catalogue import Metric
from harness.results.foreign.benchmark import DURATION, Benchmark, needs, numbers, time_metric

_WALL = time_metric(DURATION, "wall time of one run of the command")
_MEMORY = Metric("hyperfine.memory_mb", "MB", "histogram", "lower", "peak resident memory of one run")
_MEANS = {
    "user": time_metric("hyperfine.user_ms", "CPU time in user mode, the mean over the runs"),
    "system": time_metric("hyperfine.system_ms", "CPU time in the kernel, the mean over the runs"),
}


def is_ours(found: Any) -> bool:
    """Whether this is a file of hyperfine."""
    results = found.get("results") if isinstance(found, Mapping) else None
    return isinstance(results, list) and bool(results) and "command" in results[0] and "mean" in results[0]


def benchmarks(found: Mapping[str, Any], written_at: float) -> Iterator[Benchmark]:
    """One benchmark a command; hyperfine keeps neither host nor time, so the file's own time stands for it.

    Raises:
        RefusedError: the file is damaged.
    """
    for number, each in enumerate(found["results"]):
        place = f"results.{number}"
        command = needs(each, "command", str, place)
        times = numbers(each.get("times", []), f"{place}.times")
        metrics: dict[str, tuple[Metric, list[float]]] = {}
        warnings = ["hyperfine keeps no host and no time: the time of the file stands for it"]
        if times:
            metrics[_WALL.name] = (_WALL, [1e3 * value for value in times])
        else:
            metrics[_WALL.name] = (_WALL, [1e3 * needs(each, "mean", float, place)])
            warnings.append("the file has no raw times: n=1 is the mean that it states")
        for key, metric in _MEANS.items():
            if isinstance(each.get(key), int | float):
                metrics[metric.name] = (metric, [1e3 * each[key]])
        memory = each.get("memory_usage_byte")
        if memory:
            metrics[_MEMORY.name] = (_MEMORY, [value / 2**20 for value in numbers(memory, f"{place}.memory")])
        failed = sum(code != 0 for code in each.get("exit_codes") or [])
        config = {"command": command, "parameters": each.get("parameters") or {}}
        yield Benchmark(command, written_at, sum(times), metrics, config, {}, failed=failed, warnings=warnings)
