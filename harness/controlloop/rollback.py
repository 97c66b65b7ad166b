"""From the decision to go back to a state that can be trained on, with the evidence that it is the right one."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from harness.controlloop.disktier.disk import Disk
from harness.controlloop.ring import Method, Ring
from harness.controlloop.snapshot import RestoreFailed, State
from harness.controlloop.telemetry import Telemetry
from harness.controlloop.tiers import Budgets, Tier, Tiers, TiersFailed
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
    memory_ms: Annotated[float, Range(above=0)] | None
    disk_ms: Annotated[float, Range(above=0)] | None
    at_most: Annotated[int, Range(min=1)]

    @property
    def budgets(self) -> Budgets:
        """The time for the whole way back, and for each tier."""
        return Budgets(total_ms=self.deadline_ms, memory_ms=self.memory_ms, disk_ms=self.disk_ms)


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
    tier: Tier
    from_step: int
    to_step: int
    latency_ms: float
    deadline_exceeded: bool
    evidence: Evidence


_TURNS: tuple[tuple[Tier, ...], ...] = (("memory",), ("disk",), ("memory", "disk"))


class Rollback:
    """Owns the two tiers, memory and disk; counts per training."""

    def __init__(
        self,
        state: State,
        snapshots: SnapshotSettings,
        restore: RestoreSettings,
        telemetry: Telemetry,
        *,
        memory: bool = True,
        disk: Disk | None = None,
        in_turn: bool = False,
        expected: Callable[[int], str] | None = None,
    ) -> None:
        """`expected` tells the hash that the state of a step must have, where an undisturbed training has shown it.

        `disk`, where there is one, belongs to this object from now on. With `in_turn` one training restores from memory
        alone, the next from the disk alone, and the third from both.
        """
        self._state, self._snapshots, self._settings = state, snapshots, restore
        self._telemetry, self._expected = telemetry, expected
        ring = Ring(state, slots=snapshots.slots, cap_bytes=snapshots.cap_bytes) if memory else None
        self.tiers = Tiers(state, ring=ring, disk=disk, budgets=restore.budgets)
        self._in_turn, self._trainings = in_turn, 0
        self._reset_counters()

    def _reset_counters(self) -> None:
        self.restored: list[Restored] = []
        self.failures = 0

    def rewind(self) -> None:
        """Forgets everything of the training before."""
        self.tiers.clear()
        if self._in_turn:
            self.tiers.asked = _TURNS[self._trainings % len(_TURNS)]
            self._trainings += 1
        self._reset_counters()

    def close(self) -> None:
        """Ends what writes checkpoints."""
        self.tiers.close()

    def keep(self) -> None:
        """Captures the state where its step is one to keep, in memory and on the disk; the first state is."""
        if self._state.progress.step % self._snapshots.every == 0:
            started = time.perf_counter_ns()
            if self.tiers.capture() is not None:
                self._telemetry.record("tolaria.rollback.snapshot_ms", (time.perf_counter_ns() - started) / 1e6)
        self.tiers.checkpoint()

    def confirm(self) -> None:
        """A healthy step was made from the newest snapshot."""
        self.tiers.confirm()

    def rearm(self) -> None:
        """Makes an adopted snapshot restorable again; runs before the next step writes to the state."""
        started = time.perf_counter_ns()
        if self.tiers.rearm():
            self._telemetry.record("tolaria.rollback.rearm_ms", (time.perf_counter_ns() - started) / 1e6)

    def restore(self, reason: str, before: str) -> Restored:
        """Takes the last good state back; `before` is the hash of the state that the failed step began with.

        Raises:
            TiersFailed: nothing could be restored, or not in time.
            RestoreFailed: what was restored is not the state of that step.
        """
        from_step = self._state.progress.step
        bad, hashing_before_s = self._hash_of_bad_before()
        try:
            snapshot, latency_ns = self.tiers.restore(self._settings.method)
        except TiersFailed as error:
            self._fail(reason, from_step, str(error))
            raise
        finally:
            self._tell_attempts(reason)
        started = time.perf_counter_ns()
        latency_ms = latency_ns / 1e6
        bad = bad or snapshot.arena.digest()  # adopting by pointer left the bad state where the good one was
        restored = self._state.digest()
        seconds = hashing_before_s + (time.perf_counter_ns() - started) / 1e9
        attempt = self.tiers.attempts[-1]
        done = Restored(
            reason,
            attempt.tier,
            from_step,
            snapshot.step,
            latency_ms,
            attempt.deadline is not None,
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
            self._fail(done.reason, done.from_step, message)
            raise RestoreFailed(message)

    def _tell_attempts(self, reason: str) -> None:
        """Says of each tier that did not bring the state back, or not in time, why."""
        for attempt in self.tiers.attempts:
            if attempt.ended == "hit" and attempt.deadline is None:
                continue
            self._telemetry.event(
                "tolaria.rollback.tier_failed",
                level="warning",
                reason=reason,
                tier=attempt.tier,
                ended=attempt.ended,
                latency_ms=round(attempt.latency_ms, 6),
                deadline=attempt.deadline,
                why=attempt.why,
            )

    def _fail(self, reason: str, from_step: int, message: str) -> None:
        self.failures += 1
        self._telemetry.event(
            "tolaria.rollback.restore_failed", level="error", reason=reason, from_step=from_step, message=message
        )

    def _tell(self, done: Restored) -> None:
        self._telemetry.record("tolaria.rollback.restore_latency_ms", done.latency_ms)
        own = "tolaria.rollback.fast_latency_ms" if done.tier == "memory" else "tolaria.rollback.full_latency_ms"
        self._telemetry.record(own, done.latency_ms)
        evidence = done.evidence
        self._telemetry.event(
            "tolaria.rollback.restored",
            level="warning",
            reason=done.reason,
            tier=done.tier,
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
            "tolaria.rollback.snapshots_total": self.tiers.captured,
            "tolaria.rollback.restores_total": len(self.restored),
            "tolaria.rollback.failures_total": self.failures,
            "tolaria.rollback.steps_lost_total": sum(done.from_step - done.to_step for done in self.restored),
            "tolaria.rollback.fast_size_bytes": self.tiers.bytes,
            **self.tiers.counters(),
        }
