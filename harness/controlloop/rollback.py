"""From the decision to go back to a state that can be trained on, with the evidence that it is the right one."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from harness.controlloop.ring import Method, Ring
from harness.controlloop.snapshot import RestoreFailed, State
from harness.controlloop.telemetry import Telemetry
from harness.ranges import Range


@dataclass(frozen=True, kw_only=True)
class SnapshotSettings:
    """How often the state is kept, and how much memory that may take."""

    every: Annotated[int, Range(min=1)]
    slots: Annotated[int, Range(min=2)]
    cap_mb: Annotated[float, Range(above=0)] | None

    @property
    def cap_bytes(self) -> int | None:
        """The cap in bytes, None without one."""
        return None if self.cap_mb is None else int(self.cap_mb * 2**20)


@dataclass(frozen=True, kw_only=True)
class RestoreSettings:
    """How the state is taken back, how fast that must be, and how often it may happen in one training."""

    method: Method
    deadline_ms: Annotated[float, Range(above=0)]
    at_most: Annotated[int, Range(min=1)]


@dataclass(frozen=True)
class Evidence:
    """Hashes of the tensors: what they were before the failed step, after it, and after the restore."""

    before: str
    bad: str
    restored: str
    seconds: float  # what hashing took, which is no part of the recovery


@dataclass(frozen=True)
class Restored:
    """What one restore did."""

    reason: str
    from_step: int
    to_step: int
    latency_ms: float
    deadline_exceeded: bool
    evidence: Evidence


class Rollback:
    """Owns the ring; counts per training."""

    def __init__(
        self,
        state: State,
        snapshots: SnapshotSettings,
        restore: RestoreSettings,
        telemetry: Telemetry,
        *,
        expected: Callable[[int], str] | None = None,
    ) -> None:
        """`expected` tells the hash that the state of a step must have, where an undisturbed training has shown it."""
        self._state, self._snapshots, self._settings = state, snapshots, restore
        self._telemetry, self._expected = telemetry, expected
        self.ring = Ring(state, slots=snapshots.slots, cap_bytes=snapshots.cap_bytes)
        self._reset_counters()

    def _reset_counters(self) -> None:
        self.restored: list[Restored] = []
        self.misses = self.failures = 0

    def rewind(self) -> None:
        """Forgets everything of the training before."""
        self.ring.clear()
        self._reset_counters()

    def keep(self) -> None:
        """Captures the state where its step is one to keep; the first state is."""
        if self._state.progress.step % self._snapshots.every == 0:
            started = time.perf_counter_ns()
            if self.ring.capture() is not None:
                self._telemetry.record("tolaria.rollback.snapshot_ms", (time.perf_counter_ns() - started) / 1e6)

    def confirm(self) -> None:
        """A healthy step was made from the newest snapshot."""
        self.ring.confirm()

    def rearm(self) -> None:
        """Makes an adopted snapshot restorable again; runs before the next step writes to the state."""
        started = time.perf_counter_ns()
        if self.ring.rearm():
            self._telemetry.record("tolaria.rollback.rearm_ms", (time.perf_counter_ns() - started) / 1e6)

    def restore(self, reason: str, before: str) -> Restored:
        """Takes the last good state back; `before` is the hash of the state that the failed step began with.

        Raises:
            RestoreFailed: nothing could be restored, or what was restored is not the state of that step.
        """
        from_step = self._state.progress.step
        bad, hashing_before_s = self._hash_of_bad_before()
        try:
            snapshot, latency_ns = self.ring.restore(self._settings.method)
        except RestoreFailed as error:
            self._fail(reason, from_step, str(error), missed=True)
            raise
        started = time.perf_counter_ns()
        latency_ms = latency_ns / 1e6
        bad = bad or snapshot.arena.digest()  # adopting by pointer left the bad state where the good one was
        restored = self._state.digest()
        seconds = hashing_before_s + (time.perf_counter_ns() - started) / 1e9
        done = Restored(
            reason,
            from_step,
            snapshot.step,
            latency_ms,
            latency_ms > self._settings.deadline_ms,
            Evidence(before, bad, restored, seconds),
        )
        self._verify(done)
        self.restored.append(done)
        self._tell(done)
        return done

    def _hash_of_bad_before(self) -> tuple[str, float]:
        """A copy overwrites the bad state, so then it is hashed before the decision; adopting keeps it for later."""
        if self._settings.method == "adopt":
            return "", 0.0
        started = time.perf_counter_ns()
        return self._state.digest(), (time.perf_counter_ns() - started) / 1e9

    def _verify(self, done: Restored) -> None:
        """Compares with the undisturbed training. A restore that changed nothing, or too little, ends here."""
        expected = self._expected(done.to_step) if self._expected else None
        if expected is not None and done.evidence.restored != expected:
            message = (
                f"the restored state hashes to {done.evidence.restored}, the state of step {done.to_step} to {expected}"
            )
            self._fail(done.reason, done.from_step, message, missed=False)
            raise RestoreFailed(message)

    def _fail(self, reason: str, from_step: int, message: str, *, missed: bool) -> None:
        self.failures += 1
        self.misses += missed
        self._telemetry.event(
            "tolaria.rollback.restore_failed", level="error", reason=reason, from_step=from_step, message=message
        )

    def _tell(self, done: Restored) -> None:
        self._telemetry.record("tolaria.rollback.restore_latency_ms", done.latency_ms)
        evidence = done.evidence
        self._telemetry.event(
            "tolaria.rollback.restored",
            level="warning",
            reason=done.reason,
            tier="memory",
            method=self._settings.method,
            from_step=done.from_step,
            to_step=done.to_step,
            latency_ms=round(done.latency_ms, 6),
            deadline_exceeded=done.deadline_exceeded,
            bytes=self._state.bytes,
            hash_before=evidence.before,
            hash_bad=evidence.bad,
            hash_restored=evidence.restored,
        )

    def counters(self) -> dict[str, float]:
        """What this training counted, under the names of the catalogue."""
        return {
            "tolaria.rollback.snapshots_total": self.ring.captured,
            "tolaria.rollback.fast_hits_total": len(self.restored),
            "tolaria.rollback.fast_misses_total": self.misses,
            "tolaria.rollback.failures_total": self.failures,
            "tolaria.rollback.deadline_exceeded_total": sum(done.deadline_exceeded for done in self.restored),
            "tolaria.rollback.steps_lost_total": sum(done.from_step - done.to_step for done in self.restored),
            "tolaria.rollback.fast_size_bytes": self.ring.bytes,
        }
