"""A pipeline: one iteration is all of its steps in turn, each tracked, kept, and taken over when a run is resumed."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

from harness.engine import deterministic
from harness.engine.loop import describe_error
from harness.errors import BenchmarkFailed, Cancelled, ConfigError, Problem
from harness.measure.samples import Phase
from harness.results.names import safe
from harness.runner import Context
from harness.scenarios.pipeline.finished import Finished, artifacts_in, keep, take_over
from harness.scenarios.pipeline.step import Step
from harness.scenarios.pipeline.work import StepSettings, Work, work_of

STEPS = "steps"  # the folder in the run's folder
_COUNTED = ("completed", "failed", "reused", "skipped")


class Pipeline:
    """Runs `steps` in their order: name, then `run` (a node with `_target_`) or `command`, `when` and `on_failure`.

    Every step starts from a seed of its own, made of the run's seed and its name, so that a step does not depend on
    which of those before it were run in this process.
    """

    def __init__(self, *, steps: Mapping[str, StepSettings]) -> None:
        self._settings = dict(steps)
        self._work: dict[str, Work] = {}
        self._all_reused = True
        self._counts: dict[str, int] = {}

    def setup(self, context: Context) -> None:
        """Imports every function, also of steps that are skipped, and says which steps will run.

        Raises:
            ConfigError: a step has no work, or its function cannot be called so.
        """
        if not self._settings:
            raise ConfigError([Problem("scenario.steps", "must hold at least one step", "NAME: {run: {_target_: …}}")])
        odd = [name for name in self._settings if safe(name) != name or name.startswith(".")]
        if odd:
            hint = "use letters, digits, _ and -"
            problems = [Problem(f"scenario.steps.{name}", "must be usable as a folder's name", hint) for name in odd]
            raise ConfigError(problems)
        self._work = {name: work_of(name, settings) for name, settings in self._settings.items()}
        skipped = [name for name in self._settings if not self._runs(name)]
        context.event("steps.planned", steps=[name for name in self._settings if self._runs(name)], skipped=skipped)

    def _runs(self, name: str) -> bool:
        return bool(self._settings[name].get("when", True))

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Runs every step that is not skipped; what had finished before a kill is taken over.

        Raises:
            BenchmarkFailed: a step failed whose `on_failure` is stop.
        """
        folder = context.folder / STEPS / self._turn(context)
        folder.mkdir(parents=True, exist_ok=True)
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._all_reused = context.phase == Phase.MEASURE
        done: dict[str, Path] = {}
        for name in self._settings:
            if context.cancelled:
                raise Cancelled
            if not self._runs(name):
                self._counts["skipped"] += 1
            elif self._one(name, folder / name, done, context):
                done[name] = folder / name
        counts = {f"pipeline.steps_{status}": float(count) for status, count in self._counts.items()}
        return {**counts, "pipeline.steps_completed": counts["pipeline.steps_completed"] + self._counts["reused"]}

    @staticmethod
    def _turn(context: Context) -> str:
        """The folder of this iteration below that of all steps; none where there is one iteration only."""
        if context.phase == Phase.WARMUP:
            return f"warmup-{context.iteration}"
        return "" if context.config.get("measure", {}).get("iterations", 1) == 1 else str(context.iteration)

    def _one(self, name: str, folder: Path, done: Mapping[str, Path], context: Context) -> bool:
        """Takes the step over or runs it; whether it finished."""
        if self._all_reused and (found := self._reuse(name, folder, context)) is not None:
            self._count("reused", name, found.duration_s, folder, context)
            context.earlier_ms += 1000 * found.duration_s
            for metric, value in found.metrics:
                context.record(metric, value)
            return True
        self._all_reused = False
        seed = _seed(context.seed, name)
        step = Step(name, folder, seed, dict(done), context)
        folder.mkdir()
        deterministic.seed_everything(seed, context.deterministic)
        context.event("step.started", step=name)
        return self._run(step, folder, context)

    def _run(self, step: Step, folder: Path, context: Context) -> bool:
        started = time.perf_counter()
        try:
            self._work[step.name](step)
        except Cancelled:
            self._tell("cancelled", step.name, time.perf_counter() - started, folder, context)
            raise
        except Exception as error:
            self._count("failed", step.name, time.perf_counter() - started, folder, context)
            if self._settings[step.name].get("on_failure", "stop") == "stop":
                hint = error.hint if isinstance(error, BenchmarkFailed) else ""
                raise BenchmarkFailed(
                    f"the step {step.name!r} failed: {type(error).__name__}: {error}", hint
                ) from error
            told = describe_error(error, context.phase.name.lower(), context.iteration)
            context.event("step.failed", step=step.name, **{key: told[key] for key in ("type", "message", "traceback")})
            return False
        duration_s = time.perf_counter() - started
        keep(folder, Finished(step.name, duration_s, step.recorded, artifacts_in(folder)))
        self._count("completed", step.name, duration_s, folder, context)
        return True

    def _reuse(self, name: str, folder: Path, context: Context) -> Finished | None:
        for past in context.past:
            found = take_over(past / folder.relative_to(context.folder), folder)
            if isinstance(found, Finished):
                return found
            context.event("step.not_reused", step=name, of=past.name, reason=found)
        return None

    def _count(self, status: str, name: str, duration_s: float, folder: Path, context: Context) -> None:
        self._counts[status] += 1
        self._tell(status, name, duration_s, folder, context)
        metric = f"{name}.duration_ms"
        if metric in context.catalogue:
            context.record(metric, 1000 * duration_s)

    def _tell(self, status: str, name: str, duration_s: float, folder: Path, context: Context) -> None:
        at = folder.relative_to(context.folder)
        artifacts = [(at / artifact["path"]).as_posix() for artifact in artifacts_in(folder)]
        context.event("step.finished", step=name, status=status, duration_s=duration_s, artifacts=artifacts)

    def teardown(self) -> None:
        """Nothing is held; the artifacts stay in the run's folder."""


def _seed(seed: int, name: str) -> int:
    """A seed of the step's own: 32 bits that depend on the run's seed and the step's name alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "little")
