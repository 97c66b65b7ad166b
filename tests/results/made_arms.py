"""Arms of a comparison from numbers, without a store."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.results.arms import Arm
from tests.results.documents import a_result

TIME = "step.latency_ms"


def an_arm(name: str, *runs: Mapping[str, Sequence[float]] | Sequence[float], **changes: Any) -> Arm:
    """An arm of these runs: each is the samples of the step's time, or of several metrics."""
    documents = []
    for number, run in enumerate(runs):
        measured = run if isinstance(run, Mapping) else {TIME: run}
        about = {
            "run_id": f"{name}-{number}",
            "started_at": f"2026-11-22T10:{number:02}:00.000000Z",
            **changes.get("run", {}),
        }
        rest = {key: value for key, value in changes.items() if key != "run"}
        documents.append(a_result(about, measured, **rest))
    return Arm(name, documents, [document["run_id"] for document in documents], headline=TIME)


def steady(value: float, runs: int = 5) -> list[list[float]]:
    """The samples of several runs about a value, each run a little off."""
    return [[value * (1 + 0.002 * run + 0.001 * step) for step in range(10)] for run in range(runs)]
