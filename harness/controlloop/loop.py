"""The control loop: steps and epochs, a hook after each, and the way back when a step fails."""

import math
import statistics
import time
from dataclasses import dataclass
from typing import Protocol

from harness.controlloop.emergency import EmergencyController
from harness.controlloop.faults import LATE, Fault, StepFailed
from harness.controlloop.rollback import Rollback
from harness.controlloop.snapshot import Progress, RestoreFailed, Snapshot, State
from harness.controlloop.telemetry import Telemetry
from harness.controlloop.tiers import TiersFailed
from harness.controlloop.trainer import Step
from harness.errors import BenchmarkFailed, Cancelled


@dataclass(slots=True)
class Failure:
    """Why a step does not count, and since when it was known: for a late one, since its deadline."""

    reason: str
    since_ns: int
    error: Exception | None = None


class Stepper(Protocol):
    """What makes steps: a trainer in this process, or one in a step process."""

    progress: Progress
    total_steps: int

    @property
    def state(self) -> State:
        """The training state."""

    @property
    def samples_per_step(self) -> int:
        """Rows that one step learns from."""

    def step(self, fault: Fault | None = None, deadline_ns: int = 0) -> Step:
        """Makes one step without counting it."""

    def healthy(self, step: Step) -> bool:
        """Whether the step left a state worth going on from."""

    def advance(self) -> None:
        """Counts a healthy step."""

    def accuracy(self) -> float:
        """The share of held-out targets predicted right.

        Raises:
            StepFailed: the process that makes the steps has ended.
        """


class ControlLoop:
    """Runs one training at a time; `rewind` takes it back to its first state, so that the next one is the same."""

    def __init__(
        self,
        trainer: Stepper,
        rollback: Rollback,
        telemetry: Telemetry,
        *,
        at_most: int,
        deadline_ms: float | None = None,
        fault: Fault | None = None,
    ) -> None:
        """`at_most` restores are tried in one training; a fault that comes back each time is none to recover from."""
        self.trainer, self.rollback, self._telemetry = trainer, rollback, telemetry
        self._at_most, self._fault = at_most, fault
        self._deadline_ns = None if deadline_ms is None else int(deadline_ms * 1e6)
        self.emergency = EmergencyController(telemetry)
        self._first: Snapshot = trainer.state.capture(trainer.state.new_arena())
        self._reset()

    def _reset(self) -> None:
        self.losses: list[float] = []
        self.deadline_exceeded = 0
        self.epochs_failed: set[int] = set()
        self.epochs_done = 0
        self._before = ""
        self._failed_since_ns: int | None = None
        self._hashing_s = 0.0
        self._epoch_started_ns = 0

    def rewind(self) -> None:
        """Goes back to the state that the trainer was built with, byte for byte."""
        self.trainer.state.copy_back(self._first)
        self.rollback.rewind()
        self.emergency.rewind()
        if self._fault is not None:
            self._fault.rewind()
        self._reset()

    def run(self) -> list[float]:
        """Trains to the end and gives the loss of every step that counts.

        Raises:
            Cancelled: the run is to end.
            RestoreFailed: a step failed and nothing could be restored.
            BenchmarkFailed: more steps failed than may be recovered from.
            Halted: a restore missed its deadline, or three epochs failed in a row.
        """
        progress = self.trainer.progress
        self.rollback.keep()
        self.rollback.confirm()  # what a training begins with is good; a first step that fails needs a way back too
        self._epoch_started_ns = time.perf_counter_ns()
        while progress.step < self.trainer.total_steps:
            if self._telemetry.cancelled:
                raise Cancelled
            self.rollback.rearm()
            outcome = self._attempt()
            if isinstance(outcome, Failure):
                self._recover(outcome)
                continue
            self._hook(outcome)
            if progress.step % progress.steps_per_epoch == 0:
                try:
                    self._close_epoch(time.perf_counter_ns())
                except StepFailed as error:  # the process that was to evaluate the model has ended
                    self._recover(self._process_ended(error))
        return self.losses

    def _attempt(self) -> Step | Failure:
        """One step, and whether it counts."""
        fault = self._fault
        if fault is None or not fault.due(self.trainer.progress.step):
            fault = None
        else:
            self._before = self.trainer.state.digest()
        try:
            step = self.trainer.step(fault, self._deadline_ns or 0)
        except StepFailed as error:
            self.deadline_exceeded += error.reason == "deadline"
            if error.reason == "deadline" and self._deadline_ns is not None:
                self._telemetry.record("tolaria.step.censored_latency_ms", self._deadline_ns / 1e6)
            return self._process_ended(error)
        except Exception as error:  # whatever a step raises, its state is not to be trusted
            return Failure("exception", time.perf_counter_ns(), error)
        self._record_step(step)
        if self._deadline_ns is not None and step.ended_ns - step.started_ns > self._deadline_ns:
            self.deadline_exceeded += 1
            return Failure("deadline", step.started_ns + self._deadline_ns)
        if not self.trainer.healthy(step):
            return Failure("not_finite", step.ended_ns)
        return step

    def _process_ended(self, error: StepFailed) -> Failure:
        self._telemetry.event("tolaria.step.process_ended", level="warning", reason=error.reason, pid=error.pid)
        return Failure(error.reason, error.since_ns, error)

    def _record_step(self, step: Step) -> None:
        record = self._telemetry.record
        latency_ms = step.latency_ms
        record("tolaria.step.latency_ms", latency_ms)
        record("tolaria.step.samples_per_s", step.samples / latency_ms * 1e3)
        record("tolaria.step.input_wait_ms", step.input_wait_ms)
        if math.isfinite(step.loss) and math.isfinite(step.gradient_norm):
            record("tolaria.step.loss", step.loss)
            record("tolaria.step.gradient_norm", step.gradient_norm)
        if step.h2d_copy_ms is not None:
            record("tolaria.step.h2d_copy_ms", step.h2d_copy_ms)

    def _hook(self, step: Step) -> None:
        """The control hook after a healthy step: confirm, count, set the learning rate, keep the state."""
        started = time.perf_counter_ns()
        self.losses.append(step.loss)
        self.rollback.confirm()
        self.trainer.advance()
        self.rollback.keep()
        self._telemetry.record("tolaria.step.hook_latency_ms", (time.perf_counter_ns() - started) / 1e6)
        if self._failed_since_ns is not None:
            recovery_ms = (step.ended_ns - self._failed_since_ns) / 1e6 - self._hashing_s * 1e3
            self._telemetry.record("tolaria.rollback.recovery_ms", recovery_ms)
            self._failed_since_ns = None

    def _recover(self, failure: Failure) -> None:
        """Restores the last good state; the steps since then are made again."""
        progress = self.trainer.progress
        self.epochs_failed.add(progress.epoch)
        if len(self.rollback.restored) >= self._at_most:
            raise BenchmarkFailed(
                f"step {progress.step} failed ({failure.reason}) after {self._at_most} restores in this training",
                "raise scenario.restore.at_most if the host is noisy; a fault that comes back needs another cure",
            ) from failure.error
        try:
            done = self.rollback.restore(failure.reason, self._before or "unknown: nobody planned this fault")
        except TiersFailed as error:
            if error.late:
                self.emergency.rollback_was_late()
            raise error from failure.error
        except RestoreFailed as error:
            raise error from failure.error
        if self._failed_since_ns is None:
            self._failed_since_ns, self._hashing_s = failure.since_ns, 0.0
        self._hashing_s += done.evidence.seconds
        self._before = ""
        del self.losses[progress.step :]
        if done.deadline_exceeded:
            self.emergency.rollback_was_late()

    def _close_epoch(self, ended_ns: int) -> None:
        """Reports an epoch once, also where a restore went back across its end and it was finished twice."""
        progress = self.trainer.progress
        if progress.epoch > self.epochs_done:
            latency_ms = (ended_ns - self._epoch_started_ns) / 1e6
            accuracy = self._evaluate()
            self.epochs_done = progress.epoch
            started = time.perf_counter_ns()
            self._epoch_hook(latency_ms, accuracy)
            self._telemetry.record("tolaria.hook.latency_ms", (time.perf_counter_ns() - started) / 1e6)
            self.emergency.close_epoch(failed=progress.epoch - 1 in self.epochs_failed)
        self._epoch_started_ns = time.perf_counter_ns()

    def _evaluate(self) -> float:
        started = time.perf_counter_ns()
        accuracy = self.trainer.accuracy()
        self._telemetry.record("tolaria.training.evaluation_ms", (time.perf_counter_ns() - started) / 1e6)
        return accuracy

    def _epoch_hook(self, latency_ms: float, accuracy: float) -> None:
        """The control hook at an epoch's end: assembles and tells its state."""
        progress = self.trainer.progress
        losses = self.losses[progress.step - progress.steps_per_epoch :]
        loss = statistics.fmean(losses)
        samples = progress.steps_per_epoch * self.trainer.samples_per_step
        record = self._telemetry.record
        record("tolaria.training.latency_ms", latency_ms)
        record("tolaria.training.loss", loss)
        record("tolaria.training.accuracy", accuracy)
        record("tolaria.training.samples_per_s", samples / latency_ms * 1e3)

    @property
    def _planned_late(self) -> int:
        """How many steps the planned fault makes late."""
        return int(self._fault is not None and self._fault.happened and self._fault.kind in LATE)

    def counters(self) -> dict[str, float]:
        """What this training counted, under the names of the catalogue."""
        return {
            "tolaria.emergency.halts_total": self.emergency.halts,
            "tolaria.epochs.total": self.epochs_done,
            "tolaria.epochs.failed": len(self.epochs_failed),
            "tolaria.step.deadline_exceeded_total": self.deadline_exceeded,
            "tolaria.step.deadline_unexpected_total": abs(self.deadline_exceeded - self._planned_late),
            **self.rollback.counters(),
        }
