"""What past runs took for each step: the history from which the time of a run is estimated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.errors import StoreLost
from harness.results import schema
from harness.results.index import Index
from harness.track.eta import SPEED_SPREAD, Expected, alike, learn

MOST_RUNS = 20  # the newest ones; an older one would weigh less than a thousandth


class Learned(NamedTuple):
    """The expected time of each step by its key, from how many runs, and whether they ran on this host."""

    steps: Mapping[str, Expected] = MappingProxyType({})
    runs: int = 0
    elsewhere: bool = False
    speed_spread: float = SPEED_SPREAD
    past: Sequence[Mapping[str, float]] = ()  # the seconds of each run's steps by key, oldest first

    def after(self, done: Mapping[str, float]) -> Mapping[str, Expected]:
        """The expected times in a run whose finished steps took this long, by key."""
        return alike(self.steps, self.past, done)

    def told(self) -> dict[str, Any]:
        """As an event holds it, so that a reader in another terminal estimates with the same numbers."""
        steps = {key: {"seconds": e.seconds, "spread": e.spread, "runs": e.runs} for key, e in self.steps.items()}
        whole = {"runs": self.runs, "elsewhere": self.elsewhere, "speed_spread": self.speed_spread}
        return {"steps": steps, **whole, "past": [dict(run) for run in self.past]}

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Learned":
        """From such an event."""
        steps = {key: Expected(e["seconds"], e["spread"], e["runs"]) for key, e in told["steps"].items()}
        return cls(steps, told["runs"], told["elsewhere"], told["speed_spread"], tuple(told.get("past", ())))


def learn_from(index: Index, runs: Path, *, scenario: str, device: str, work: str, host: str) -> Learned:
    """What the completed runs of the same work took here; those of other hosts where there are none."""

    def newest(on: str | None) -> list[dict[str, Any]]:
        return index.find(
            last=MOST_RUNS, status="completed", scenario=scenario, device=device, work_digest=work, host=on
        )

    rows = newest(host)
    elsewhere = not rows
    rows = rows or newest(None)
    past: list[dict[str, float]] = []
    for row in reversed(rows):
        try:
            found = schema.read(runs / row["run_id"] / "manifest.json", "manifest")
        except StoreLost:
            continue  # a history with a gap is still one; `verify` tells of files that are lost
        if durations := durations_of(found):
            past.append({key: sum(values) / len(values) for key, values in durations.items()})
    steps, speed_spread = learn(past)
    return Learned(steps, len(past), elsewhere and bool(past), speed_spread, tuple(past))


def durations_of(manifest: Mapping[str, Any]) -> dict[str, list[float]]:
    """The durations of the completed steps of a run by key; a resumed run's phases were only in part its own."""
    found: dict[str, list[float]] = {}
    steps: Sequence[Mapping[str, Any]] = manifest.get("steps") or ()
    for step in steps:
        partly = step["kind"] == "phase" and manifest["resumed_from"] is not None
        if step["status"] == "completed" and step["duration_s"] is not None and not partly:
            found.setdefault(f"{step['kind']}:{step['name']}", []).append(step["duration_s"])
    return found
