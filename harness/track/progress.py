"""Where a run is and when it will end: read from its events, its sample file and what past runs took."""

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any, NamedTuple

from harness.results.steps import WORKING, Step, StepLog, stamp
from harness.track.eta import Current, Estimate, Expected, estimate
from harness.track.learned import Learned

TITLES = {"setup": "set up", "warmup": "warm up", "measure": "measure", "report": "judge and store"}
EXPECTED = "run.expected"  # the event that holds what past runs took
SECOND = 2  # the step after which an estimate should be right


class Progress(NamedTuple):
    """One moment of a run, for people and programs; times in seconds."""

    number: int  # of the step, among those that count; 0 for what comes before and after a runner's own steps
    total: int
    name: str
    elapsed_s: float
    step_elapsed_s: float
    done: int  # units of the step, and how many there are; 0 of None where it has no units
    units: int | None
    eta: Estimate | None
    why_not: str | None  # why there is no estimate
    step_eta_s: float | None  # of this step alone, from its own progress

    def facts(self) -> dict[str, Any]:
        """As an event holds it."""
        eta = self.eta
        return {
            "step": self.name,
            "number": self.number,
            "total": self.total,
            "done": self.done,
            "units": self.units,
            "elapsed_s": round(self.elapsed_s, 3),
            "eta_s": None if eta is None else round(eta.seconds, 3),
            "eta_low_s": None if eta is None else round(eta.low_s, 3),
            "eta_high_s": None if eta is None else round(eta.high_s, 3),
            "eta_unknown": self.why_not,
        }


class Tracker:
    """A listener of the event stream that knows the progress at every moment, and remembers each estimate.

    `clock` gives the time of an event: the monotonic time of its arrival for the run itself, its stamp for a reader.
    """

    def __init__(self, clock: Callable[[Mapping[str, Any]], float] = stamp) -> None:
        self.log = StepLog(clock)
        self.learned = Learned()
        self.told: list[dict[str, Any]] = []
        self._kept = 0  # iterations that were taken over from the run that this one goes on from

    def __call__(self, event: Mapping[str, Any]) -> bool:
        """Takes one event; whether a step has begun or ended by it."""
        if event["event"] == EXPECTED:
            self.learned = Learned.read(event)
        elif event["event"] == "run.resumed":
            self._kept = event["kept_iterations"]
        edge = self.log(event)
        running = self.log.running
        if edge and self.log.ended is None and self.log.started is not None and running is not None:
            self._tell(running)
        return edge

    def at(self, now: float, done: int = 0) -> Progress | None:
        """The progress at this time of the clock, with so many units of the running step done; None before it began."""
        started, step = self.log.started, self.log.running
        if started is None or step is None:
            return None
        done = max(done - (self._kept if step.name == "measure" else 0), step.done)
        elapsed_s = now - (started if step.started is None else step.started)
        numbered = self.log.numbered
        known = self.log.planned or not self._foreseen(self.learned.steps)
        number = next((i for i, other in enumerate(numbered, 1) if other is step), 0) if known else 0
        eta, why_not = self._estimate(step, elapsed_s, done)
        share = done / step.units if step.units else 0.0
        return Progress(
            number=number,
            total=len(numbered) if known else 0,
            name=step.name,
            elapsed_s=max(0.0, now - started),
            step_elapsed_s=max(0.0, elapsed_s),
            done=done,
            units=step.units,
            eta=eta,
            why_not=why_not,
            step_eta_s=elapsed_s * (1.0 - share) / share if share else None,
        )

    def record(self) -> dict[str, Any]:
        """The steps and the estimates beside what came of them, for the manifest of a run that has ended."""
        completed = self.log.status == "completed"
        told = [self._beside(one, self.log.ended if completed else None) for one in self.told]
        after_second = [one["error"] for one in told if one["after"] == SECOND]
        eta = {
            "runs": self.learned.runs,
            "elsewhere": self.learned.elsewhere,
            "told": told,
            "error": after_second[0] if after_second else None,
        }
        return {"steps": self.log.entries(), "eta": eta}

    def _tell(self, step: Step) -> None:
        """Remembers the estimate that is shown as this step begins."""
        assert step.started is not None
        found = self.at(step.started)
        assert found is not None
        eta = found.eta
        self.told.append(
            {
                "after": self.log.done,
                "step": step.name,
                "elapsed_s": found.elapsed_s,
                "eta_s": None if eta is None else eta.seconds,
                "low_s": None if eta is None else eta.low_s,
                "high_s": None if eta is None else eta.high_s,
            }
        )

    def _beside(self, told: Mapping[str, Any], ended: float | None) -> dict[str, Any]:
        started = self.log.started
        actual = None if ended is None or started is None else max(0.0, ended - started - told["elapsed_s"])
        error = told["eta_s"] / actual - 1.0 if actual and told["eta_s"] is not None else None
        return {**told, "actual_s": actual, "error": error}

    def _estimate(self, running: Step, elapsed_s: float, done: int) -> tuple[Estimate | None, str | None]:
        if not self.learned.steps:
            return None, "no history"
        known = self.learned.after(self._done())
        coming = [step for step in self.log.steps if step.status in ("pending", "running")]
        missing = next((step.name for step in coming if step.key not in known), None)
        if missing is not None and not (missing in WORKING and self._foreseen(known)):
            return None, f"no history of {TITLES.get(missing, missing)}"
        share = min(1.0, done / running.units) if running.units else 0.0
        current = Current(self._expected(known, running), max(0.0, elapsed_s), share)
        pending = [self._expected(known, step) for step in coming if step is not running and step.key in known]
        pending += self._foreseen(known)
        return estimate(self._past(known), current, pending, self.learned.speed_spread), None

    def _foreseen(self, known: Mapping[str, Expected]) -> list[Expected]:
        """What the steps should take that past runs had planned and this one has not announced yet."""
        if self.log.planned:
            return []
        steps = [expected for key, expected in known.items() if key.startswith("step:")]
        return steps * max(1, self.log.turns)

    def _expected(self, known: Mapping[str, Expected], step: Step) -> Expected:
        """What a step should take; of the measured iterations only those that are left after a resume."""
        found = known[step.key]
        if not self._kept or step.name != "measure" or step.units is None:
            return found
        return found._replace(seconds=found.seconds * step.units / max(1, step.units + self._kept))

    def _past(self, known: Mapping[str, Expected]) -> list[tuple[Expected, float]]:
        """What the steps that this run has completed were expected to take, and took."""
        ended = [step for step in self.log.steps if step.status == "completed" and step.key in known]
        return [(self._expected(known, step), step.duration_s) for step in ended if step.duration_s is not None]

    def _done(self) -> dict[str, float]:
        """How long the completed steps took, by key; a resumed run's iterations were only in part its own."""
        found: dict[str, list[float]] = {}
        for step in self.log.steps:
            partly = bool(self._kept) and step.name == "measure"
            if step.status == "completed" and step.duration_s is not None and not partly:
                found.setdefault(step.key, []).append(step.duration_s)
        return {key: fmean(seconds) for key, seconds in found.items()}
