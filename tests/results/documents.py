"""Every kind of document of the harness, made through the code that makes them, with small known content."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.gates.thresholds import load_rules
from harness.gates.verdict import exit_code, judge
from harness.measure.catalogue import Metric
from harness.measure.samples import Phase, SampleFile, Series, Word
from harness.report.markdown import run_report
from harness.results.document import build_result, conclude
from harness.results.store import OpenRun, Store

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
STEPS = [12.0, 12.5, 11.75, 12.25, 12.0, 12.5, 11.5, 12.0, 12.25, 12.0]
CATALOGUE = {
    metric.name: metric
    for metric in (
        Metric("iteration.duration_ms", "ms", "histogram", "lower", "wall time of one iteration"),
        Metric("step.latency_ms", "ms", "histogram", "lower", "time of one step"),
        Metric("step.late_total", "1", "counter", "lower", "steps beyond their deadline"),
        Metric("other.rate", "1/s", "gauge", "higher", "requests a second"),
        Metric("canary.duration_ms", "ms", "histogram", "lower", "time of the reference workload"),
    )
}
SENSORS = {
    "host.pressure_cpu_percent": {
        "status": "ok",
        "value": 1.5,
        "unit": "%",
        "mean": 1.5,
        "min": 0.0,
        "max": 3.0,
        "n": 4,
    },
    "gpu.memory_mb": {"status": "unavailable", "value": None, "reason": "no-library: no driver", "unit": "MB"},
}


def series(
    values: Sequence[float], lows: Sequence[float] | None = None, highs: Sequence[float] | None = None
) -> Series:
    """Samples as the sample file gives them back, with their own intervals where given."""
    none: list[float | None] = [None] * len(values)
    return Series(list(values), list(lows) if lows else none, list(highs or []) or list(none), list(range(len(values))))


def a_result(
    run: Mapping[str, Any] | None = None,
    measured: Mapping[str, Sequence[float] | Series] | None = None,
    *,
    rules: Sequence[Mapping[str, Any]] = (),
    events: Mapping[str, int] | None = None,
    failed: int = 0,
    strict: bool = False,
    pressure: float | None = 1.5,
    **parts: Any,
) -> dict[str, Any]:
    """A result document, judged by the rules given."""
    numbers = {"step.latency_ms": STEPS} if measured is None else measured
    found = {name: value if isinstance(value, Series) else series(value) for name, value in numbers.items()}
    sensors = {**SENSORS, "host.pressure_cpu_percent": {**SENSORS["host.pressure_cpu_percent"], "value": pressure}}
    document = build_result(
        {
            "run_id": "20261122T101500Z-rollback-1f09ab",
            "trace_id": TRACE,
            "scenario": "rollback",
            "device": "cpu",
            "model": "linear",
            "status": "completed",
            "reason": None,
            "started_at": "2026-11-22T10:15:00.000000Z",
            "finished_at": "2026-11-22T10:15:02.500000Z",
            "duration_s": 2.5,
            "config": {"scenario": {"_target_": "x.Y", "epochs": 3}, "device": {"kind": "cpu"}, "strict": strict},
            "choices": {"scenario": "rollback", "device": "cpu", "model": "linear"},
            "overrides": ["scenario=rollback"],
            "tags": ["nightly"],
            **(run or {}),
        },
        iterations={"warmup": 3, "planned": 10, "completed": 10, "failed": failed},
        series=found,
        catalogue=CATALOGUE,
        events={"run.started": 1, **(events or {})},
        **{
            "telemetry": {"level": "full", "sensors": sensors},
            "environment": {
                "hostname": "bench-1",
                "cpu": {"model": "abc", "cores": 2},
                "fingerprint": "0f1e2d3c4b5a6978",
            },
            "process": {"worker_pid": 4242, "leftover_processes": 0},
            **parts,
        },
    )
    verdict = judge(document, load_rules({"rules": list(rules)}), strict=strict)
    return conclude(document, verdict, exit_code(document["status"], verdict["level"], strict=strict))


def a_run(store: Store, scenario: str = "rollback", **about: Any) -> OpenRun:
    """A run that the store has just begun, with measured iterations in its sample file."""
    return store.create_run(
        **{
            "scenario": scenario,
            "device": "cpu",
            "model": "linear",
            "trace_id": TRACE,
            "config_yaml": "seed: 0\n",
            "command": ["harness", f"scenario={scenario}"],
            "overrides": [f"scenario={scenario}"],
            "tags": ["nightly"],
            **about,
        }
    )


def measured_so_far(folder: Path, iterations: int) -> None:
    """Leaves a sample file as a worker does that was killed after so many measured iterations."""
    samples = SampleFile(folder / "samples.bin", create=True, capacity=64)
    samples.words[int(Word.PHASE)] = Phase.MEASURE
    tag = samples.id_of("step.latency_ms")
    for i in range(iterations):
        samples.add(tag | i << 32, i, STEPS[i % len(STEPS)])
        samples.words[int(Word.COMPLETED)] = i + 1
    samples.close()


def a_stored_run(store: Store, scenario: str = "rollback", **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run from its beginning to its stored result; the result and the final manifest."""
    run = a_run(store, scenario, tags=changes.get("run", {}).get("tags", ["nightly"]))
    about = {**changes.pop("run", {}), "run_id": run.run_id, "scenario": scenario}
    result = a_result(about, changes.pop("measured", None), **changes)
    return result, store.finish(result, report=run_report(result))
