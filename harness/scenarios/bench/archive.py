"""A store with very many runs in it, as years of nightly benchmarks leave behind."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import Cancelled
from harness.measure.catalogue import Metric
from harness.measure.samples import Series
from harness.results.document import build_result
from harness.results.manifest import new_manifest
from harness.results.times import FORMAT, now

STATUSES = ("completed", "completed", "completed", "failed", "cancelled")
SCENARIOS = ("rollback", "steady_train", "llm_latency", "wal_soak")
FIRST_S = 1_600_000_000.0  # seconds since 1970 of the first run
METRICS = 20  # of a result, of ten samples each
APART_S = 600.0  # between two runs: 100 000 of them are two years


def fill(outputs: Path, runs: int, cancelled: Callable[[], bool]) -> None:
    """Leaves the manifests of so many ended runs; nothing is synced, as this is no work to be measured.

    Raises:
        Cancelled: the run is to end.
    """
    folder = outputs / "runs"
    folder.mkdir(parents=True)
    for number in range(runs):
        if number % 1000 == 0 and cancelled():
            raise Cancelled
        known = a_manifest(number)
        place = folder / known["run_id"]
        place.mkdir()
        (place / "manifest.json").write_text(json.dumps(known, indent=2))


def a_manifest(number: int) -> dict[str, Any]:
    """The manifest of the run of this number: every status, scenario and tag comes round."""
    started = datetime.fromtimestamp(FIRST_S + number * APART_S, UTC)
    scenario = SCENARIOS[number % len(SCENARIOS)]
    status = STATUSES[number % len(STATUSES)]
    created_at = started.strftime(FORMAT)
    return {
        **_shared(),
        "run_id": f"{started:%Y%m%dT%H%M%SZ}-{scenario}-{number:06x}",
        "scenario": scenario,
        "status": status,
        "reason": None if status == "completed" else {"kind": "error", "message": "planted"},
        **{"created_at": created_at, "started_at": created_at, "finished_at": created_at},
        **{"duration_s": 2.5, "verdict": "pass", "exit_code": 0, "completed_iterations": 10, "error_rate": 0.0},
        "tags": ["nightly", f"week-{number // 1008}"],
        "headline": {
            **{"metric": "iteration.duration_ms", "unit": "ms", "n": 10},
            **dict.fromkeys(("mean", "p50", "p95", "p99"), 10.0 + number % 7),
        },
        "artifacts": ["config.yaml", "events.jsonl", "manifest.json", "report.md", "result.json", "samples.bin"],
    }


@cache
def _shared() -> dict[str, Any]:
    """What all these runs have in common, asked of the system once."""
    return new_manifest(
        scenario=SCENARIOS[0],
        device="cpu",
        model="mlp",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        status="completed",
        command=["harness", "scenario=rollback"],
        overrides=["scenario=rollback"],
        tags=[],
        config_digest="0" * 64,
    )


def a_result() -> dict[str, Any]:
    """A result of twenty metrics, as a rollback has."""
    names = [f"metric.{number:03}_ms" for number in range(METRICS)]
    values = [10.0 + 0.1 * step for step in range(10)]
    none: list[float | None] = [None] * len(values)
    moment = now()
    return build_result(
        {
            **{"run_id": "unnamed", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "scenario": "stored"},
            **{"device": "cpu", "status": "completed", "started_at": moment, "finished_at": moment, "duration_s": 1.0},
            **{"config": {"scenario": {"knob": 1}}, "choices": {"scenario": "stored"}},
        },
        iterations={"warmup": 0, "planned": 10, "completed": 10, "failed": 0},
        series={name: Series(values, none, none, list(range(len(values)))) for name in names},
        catalogue={name: Metric(name, "ms", "histogram", "lower", "a metric") for name in names},
    )
