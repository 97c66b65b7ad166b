"""What past runs took for each step: the history from which the time of a run is estimated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import StoreLost
from harness.results import schema
from harness.results.index import Index
from harness.track.eta import Expected, learn

MOST_RUNS = 20  # the newest ones; an older one would weigh less than a thousandth


@dataclass(frozen=True)
class Learned:
    """The expected time of each step by its key, from how many runs, and whether they ran on this host."""

    steps: Mapping[str, Expected] = field(default_factory=dict)
    runs: int = 0
    elsewhere: bool = False

    def told(self) -> dict[str, Any]:
        """As an event holds it, so that a reader in another terminal estimates with the same numbers."""
        steps = {key: {"seconds": e.seconds, "spread": e.spread, "runs": e.runs} for key, e in self.steps.items()}
        return {"steps": steps, "runs": self.runs, "elsewhere": self.elsewhere}

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Learned":
        """From such an event."""
        steps = {key: Expected(e["seconds"], e["spread"], e["runs"]) for key, e in told["steps"].items()}
        return cls(steps, told["runs"], told["elsewhere"])


def learn_from(index: Index, runs: Path, *, scenario: str, device: str, work: str, host: str) -> Learned:
    """What the completed runs of the same work took here; those of other hosts where there are none."""

    def newest(on: str | None) -> list[dict[str, Any]]:
        return index.find(
            last=MOST_RUNS, status="completed", scenario=scenario, device=device, work_digest=work, host=on
        )

    rows = newest(host)
    elsewhere = not rows
    rows = rows or newest(None)
    past: dict[str, list[float]] = {}
    counted = 0
    for row in reversed(rows):
        try:
            found = schema.read(runs / row["run_id"] / "manifest.json", "manifest")
        except StoreLost:
            continue  # a history with a gap is still one; `verify` tells of files that are lost
        durations = durations_of(found)
        counted += bool(durations)
        for key, values in durations.items():
            past.setdefault(key, []).extend(values)
    steps = {key: expected for key, values in past.items() if (expected := learn(values)) is not None}
    return Learned(steps, counted, elsewhere and counted > 0)


def durations_of(manifest: Mapping[str, Any]) -> dict[str, list[float]]:
    """The durations of the completed steps of a run by key; a resumed run's phases were only in part its own."""
    found: dict[str, list[float]] = {}
    steps: Sequence[Mapping[str, Any]] = manifest.get("steps") or ()
    for step in steps:
        partly = step["kind"] == "phase" and manifest["resumed_from"] is not None
        if step["status"] == "completed" and step["duration_s"] is not None and not partly:
            found.setdefault(f"{step['kind']}:{step['name']}", []).append(step["duration_s"])
    return found
