"""The events of made-up runs, with a stamp a second, as the engine would write them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

_BEGUN = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
BEGUN_S = _BEGUN.timestamp()


def event(at_s: float, name: str, **attributes: Any) -> dict[str, Any]:
    """An event so many seconds after the run began."""
    time = (_BEGUN + timedelta(seconds=at_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"time": time, "seq": 0, "trace_id": "t", "level": "info", "event": name, **attributes}


def started(warmup: int = 3, iterations: int = 10) -> dict[str, Any]:
    return event(
        0.0,
        "run.started",
        run_id="r1",
        scenario="rollback",
        device="cpu",
        warmup=warmup,
        iterations=iterations,
    )


def phase(at_s: float, name: str, **more: Any) -> dict[str, Any]:
    return event(at_s, "phase.started", phase=name, **more)


def finished(at_s: float, status: str = "completed") -> dict[str, Any]:
    return event(at_s, "run.finished", status=status)


def whole_run(durations: Mapping[str, float], *, slower: float = 1.0) -> list[dict[str, Any]]:
    """A run whose phases took this long."""
    found, at = [started()], 0.0
    for name, duration in durations.items():
        found.append(phase(at, name))
        at += slower * duration
    return [*found, finished(at)]


def pipeline(steps: Mapping[str, float], skipped: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """A run of a pipeline up to the end of the last of these steps, one second after its start."""
    found = [started(0, 1), phase(0.0, "setup"), event(0.5, "steps.planned", steps=list(steps), skipped=list(skipped))]
    found += [phase(1.0, "warmup", iterations=0), phase(1.0, "measure", iterations=1)]
    at = 1.0
    for name, duration in steps.items():
        found.append(event(at, "step.started", step=name))
        at += duration
        found.append(event(at, "step.finished", step=name, status="completed", duration_s=duration))
    return found
