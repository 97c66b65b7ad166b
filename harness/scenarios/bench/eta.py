"""How good the ETA is: real pipelines are run again and again, and what was foretold is held against what came.

One iteration is one run of `scenario=six_steps` by the whole harness, in a store of its own. Its amounts of work are
one of three mixes, each with a history of its own; about every other run has busy neighbours, which take CPU time from
it from beginning to end, as another user would. The estimate is the one that the run itself recorded after its second
step. Beside it stand two simpler ones, from the same durations: the mean of the steps so far times those to come, and
the weighted mean of the past without the speed of this run.
"""

import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from random import Random
from typing import Annotated, Any

from harness.errors import BenchmarkFailed
from harness.gates.decide.proportion import clopper_pearson
from harness.process.children import Child
from harness.ranges import Range
from harness.results import schema
from harness.runner import Context
from harness.scenarios.bench.inner import InnerHarness
from harness.track.eta import learn

WITHIN = 0.2  # of what was left
# Amounts of the six steps: all alike, most of it early, most of it late. Their history is learned apart.
MIXES: Mapping[str, Mapping[str, str]] = {
    "even": {},
    "early": {"write.run.lines": "40000", "sort.run.times": "24", "count.run.times": "4"},
    "late": {"count.run.times": "30", "query.run.times": "16", "sort.run.times": "6"},
}
_NEIGHBOUR = "import hashlib\nwhile True:\n    hashlib.sha256(bytes(1 << 20)).digest()\n"


class EtaError:
    """Counts how often the rest of a run after its second step was foretold within a fifth."""

    def __init__(
        self,
        *,
        history: Annotated[int, Range(min=1)],
        neighbours: Annotated[int, Range(min=0)],
        seed: Annotated[int, Range(min=0)],
    ) -> None:
        self._history, self._neighbours = history, neighbours
        self._chance = Random(seed)
        self._mixes = cycle(MIXES)
        self._past: dict[str, list[list[float]]] = {mix: [] for mix in MIXES}
        self._inside = {"within_20pct": 0, "mean_within_20pct": 0, "ewma_within_20pct": 0, "interval_holds": 0}
        self._runs = 0
        self._inner: InnerHarness | None = None

    def setup(self, context: Context) -> None:
        """Runs each mix a few times on whatever the host does, so that there is something to learn from."""
        self._inner = InnerHarness(context.folder / "inner")
        for mix in MIXES:
            for _ in range(self._history):
                self._past[mix].append(_durations(self._run(mix)))

    def iterate(self, context: Context) -> None:
        """One run of the next mix, beside neighbours or not, and what was foretold of it."""
        mix = next(self._mixes)
        busy = self._chance.random() < 0.5
        load = [Child([sys.executable, "-c", _NEIGHBOUR]) for _ in range(self._neighbours * busy)]
        try:
            manifest = self._run(mix)
        finally:
            for child in load:
                child.stop(grace_s=0.0)
                child.wait()
        told = next((one for one in manifest["eta"]["told"] if one["after"] == 2), None)
        if told is None or told["error"] is None:
            raise BenchmarkFailed(f"the run {manifest['run_id']} recorded no estimate after its second step")
        self._runs += 1
        durations = _durations(manifest)
        self._note("within_20pct", abs(told["error"]) <= WITHIN)
        self._note("interval_holds", told["low_s"] <= told["actual_s"] <= told["high_s"])
        self._peers(durations, self._past[mix])
        self._past[mix].append(durations)
        context.record("bench.eta.error_percent", 100 * abs(told["error"]))
        context.record("bench.eta.speed", sum(durations) / _usual(self._past[mix][:-1]))
        for name, inside in self._inside.items():
            share = inside / self._runs
            context.record_interval(f"bench.eta.{name}", share, *clopper_pearson(inside, self._runs))
        context.record("bench.eta.runs", self._runs)

    def _run(self, mix: str) -> dict[str, Any]:
        """The manifest of a whole run of this mix."""
        assert self._inner is not None
        own = [f"scenario.steps.{knob}={value}" for knob, value in MIXES[mix].items()]
        self._inner.start("scenario=six_steps", *own).finish(0)
        return schema.read(self._inner.newest_run() / "manifest.json", "manifest")

    def _note(self, name: str, inside: bool) -> None:
        self._inside[name] += inside

    def _peers(self, durations: Sequence[float], past: Sequence[Sequence[float]]) -> None:
        """What two simpler estimates would have said after the second step."""
        left = sum(durations[2:])
        mean = sum(durations[:2]) / 2 * len(durations[2:])
        weighted = learn([{str(i): each for i, each in enumerate(run[2:])} for run in past]).steps.values()
        expected = sum(step.seconds for step in weighted)
        self._note("mean_within_20pct", abs(mean / left - 1) <= WITHIN)
        self._note("ewma_within_20pct", abs(expected / left - 1) <= WITHIN)

    def teardown(self) -> None:
        """Removes what the inner runs wrote."""
        if self._inner is not None:
            self._inner.remove()


def _durations(manifest: Mapping[str, Any]) -> list[float]:
    """How long the six steps took, in their order.

    Raises:
        BenchmarkFailed: the run did not complete them.
    """
    steps = [step for step in manifest["steps"] if step["kind"] == "step"]
    if len(steps) != 6 or any(step["status"] != "completed" for step in steps):
        raise BenchmarkFailed(f"the run {manifest['run_id']} did not complete its six steps: {steps}")
    return [float(step["duration_s"]) for step in steps]


def _usual(past: Sequence[Sequence[float]]) -> float:
    """What the whole pipeline took in the middle of these runs, in seconds."""
    totals = sorted(sum(durations) for durations in past)
    return totals[len(totals) // 2]
