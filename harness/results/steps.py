"""The steps of a run, told by its events: what is planned, what runs, what has ended and how, and how long it took.

The same fold serves the run itself, a reader in another terminal, and the recovery of a run that was killed: they
differ only in whose clock they trust. Without a plan the steps are the engine's phases. A runner that announces steps
of its own (`steps.planned`, see `FROM_RUNNER`) replaces the phases in which it works by them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from harness.results.times import epoch

Kind = Literal["phase", "step"]
Status = Literal["pending", "running", "completed", "failed", "skipped", "cancelled", "crashed", "reused"]

PHASES = ("setup", "warmup", "measure", "report")
WORKING = ("warmup", "measure")  # the phases in which a runner's own steps happen
FROM_RUNNER = ("steps.planned", "step.started", "step.progress", "step.finished")
CARRIED = "carried_from"  # the attribute of an event that was taken over from the run that this one goes on from
_ENDINGS = ("completed", "failed", "skipped", "cancelled", "reused")
_DONE = ("completed", "failed", "cancelled", "reused", "crashed")


def stamp(event: Mapping[str, Any]) -> float:
    """When an event happened, in seconds since 1970, for those who read it later."""
    return epoch(event["time"])


class Step:
    """One step; times are those of the fold's clock, the `_at` ones UTC text."""

    def __init__(
        self, name: str, kind: Kind, turn: int = 1, *, status: Status = "pending", units: int | None = None
    ) -> None:
        self.name, self.kind = name, kind
        self.turn = turn  # a pipeline that is measured several times has each of its steps several times
        self.status: Status = status
        self.started: float | None = None
        self.ended: float | None = None
        self.started_at: str | None = None
        self.finished_at: str | None = None
        self.told_s: float | None = None  # as the runner measured it itself
        self.units = units  # iterations, or whatever the step counts
        self.done = 0
        self.artifacts: list[str] = []

    @property
    def key(self) -> str:
        """What the step is called in the history: a runner may name a step like a phase."""
        return f"{self.kind}:{self.name}"

    @property
    def duration_s(self) -> float | None:
        """How long it took, None while it has not ended or where nobody saw it begin."""
        if self.told_s is not None:
            return self.told_s
        return None if self.started is None or self.ended is None else max(0.0, self.ended - self.started)

    def entry(self) -> dict[str, Any]:
        """The step as it stands in a manifest."""
        return {
            "name": self.name,
            "kind": self.kind,
            "turn": self.turn,
            "status": self.status,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "duration_s": self.duration_s,
            "artifacts": list(self.artifacts),
        }


class StepLog:
    """Takes the events of one run in order, and knows its steps at every moment."""

    def __init__(self, clock: Callable[[Mapping[str, Any]], float] = stamp) -> None:
        self._clock = clock
        self._planned: list[str] | None = None
        self.turns = 1
        self.status: str | None = None  # of the whole run, once it has ended
        self.steps: list[Step] = []
        self.started: float | None = None
        self.ended: float | None = None

    def __call__(self, event: Mapping[str, Any]) -> bool:
        """Takes one event; whether a step has begun or ended by it."""
        if CARRIED in event:
            return False
        match event["event"]:
            case "run.started":
                self._begin(event)
            case "run.resumed":
                self.turns = max(1, self.turns - event["kept_iterations"])
            case "phase.started":
                return self._phase(event)
            case "steps.planned":
                self._plan(event)
            case "step.started":
                return self._start(self._find(event["step"]), event)
            case "step.progress":
                step = self._find(event["step"])
                step.done, step.units = event["done"], event["total"]
            case "step.finished":
                return self._finish(event)
            case "run.finished":
                return self._end(event)
        return False

    @property
    def planned(self) -> bool:
        """Whether the runner has announced steps of its own."""
        return self._planned is not None

    @property
    def running(self) -> Step | None:
        """The step that runs now."""
        return next((step for step in self.steps if step.status == "running"), None)

    @property
    def numbered(self) -> list[Step]:
        """The steps that count for people: the runner's plan, else the phases; skipped ones leave the total."""
        kind = "phase" if self._planned is None else "step"
        return [step for step in self.steps if step.kind == kind and step.status != "skipped"]

    @property
    def done(self) -> int:
        """How many numbered steps have ended."""
        return sum(step.status in _DONE for step in self.numbered)

    def entries(self) -> list[dict[str, Any]]:
        """All steps as they stand in a manifest."""
        return [step.entry() for step in self.steps]

    def lose(self) -> None:
        """The run's process is gone: what was running has crashed."""
        for step in self.steps:
            if step.status == "running":
                step.status = "crashed"

    def _begin(self, event: Mapping[str, Any]) -> None:
        self.started = self._clock(event)
        self.turns = event["warmup"] + event["iterations"]
        units = {"warmup": event["warmup"], "measure": event["iterations"]}
        self.steps = [Step(name, "phase", units=units.get(name)) for name in PHASES if name != "warmup" or units[name]]

    def _plan(self, event: Mapping[str, Any]) -> None:
        """Puts the runner's steps, once for each turn, in the place of the phases in which they happen."""
        self._planned = list(event["steps"])
        skipped = [Step(name, "step", status="skipped") for name in event.get("skipped", ())]
        steps = [Step(name, "step", turn) for turn in range(1, self.turns + 1) for name in self._planned]
        kept = [step for step in self.steps if step.name not in WORKING]
        at = next((i for i, step in enumerate(kept) if step.name == "report"), len(kept))
        self.steps = [*kept[:at], *skipped, *steps, *kept[at:]]

    def _phase(self, event: Mapping[str, Any]) -> bool:
        for step in self.steps:
            if step.kind == "phase" and step.status == "running":
                self._close(step, event, "completed")
        found = next((step for step in self.steps if step.kind == "phase" and step.name == event["phase"]), None)
        if found is None:
            return False
        if event.get("iterations") is not None:
            found.units = event["iterations"]
        return self._start(found, event)

    def _find(self, name: str) -> Step:
        """The step of this name that runs or comes next; one that nobody had planned is added before the report."""
        open_steps = [step for step in self.steps if step.kind == "step" and step.name == name]
        for step in open_steps:
            if step.status in ("pending", "running"):
                return step
        if self._planned is None:
            self._plan({"steps": []})
        found = Step(name, "step", len(open_steps) + 1)
        at = next((i for i, step in enumerate(self.steps) if step.name == "report"), len(self.steps))
        self.steps.insert(at, found)
        return found

    def _start(self, step: Step, event: Mapping[str, Any]) -> bool:
        step.status, step.started, step.started_at = "running", self._clock(event), event["time"]
        return True

    def _finish(self, event: Mapping[str, Any]) -> bool:
        step = self._find(event["step"])
        status = event.get("status", "completed")
        self._close(step, event, status if status in _ENDINGS else "failed")
        step.told_s = event.get("duration_s")
        step.artifacts = list(event.get("artifacts", ()))
        return True

    def _close(self, step: Step, event: Mapping[str, Any], status: Any) -> None:
        step.status, step.ended, step.finished_at = status, self._clock(event), event["time"]

    def _end(self, event: Mapping[str, Any]) -> bool:
        """The run has ended: how it ended is how its last work ended, and the report is done."""
        self.ended = self._clock(event)
        status = self.status = event["status"]
        for step in self.steps:
            if step.status == "running":
                self._close(step, event, "completed" if step.name == "report" else status)
        if status != "completed":
            worked = [step for step in self.steps if step.name != "report" and step.status in _DONE]
            if worked and worked[-1].status == "completed":
                worked[-1].status = status
        return True


def steps_of(events: Iterable[Mapping[str, Any]]) -> StepLog:
    """The steps that a run's stored events tell of; events of unknown shape, as after a torn line, are passed over."""
    log = StepLog()
    for event in events:
        try:
            log(event)
        except (KeyError, TypeError, ValueError):
            continue
    return log
