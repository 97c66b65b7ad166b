"""The way back through two tiers: memory first, and where that has nothing or fails, the disk.

To the control loop this is what a ring is: it captures, confirms, arms again and restores. One deadline covers both
tiers, and each may have a budget of its own within it. That a tier holds nothing is a miss, that it fails is a failure,
and only a deadline that really passed counts as exceeded.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from harness.controlloop.disktier.disk import Disk
from harness.controlloop.disktier.shadow import RestoreLate
from harness.controlloop.ring import Method, Ring
from harness.controlloop.snapshot import RestoreFailed, Snapshot, State
from harness.ranges import Range

Tier = Literal["memory", "disk"]
Ended = Literal["hit", "miss", "failed", "late"]


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """Milliseconds for the whole way back, and for each tier on it; a tier without its own may use all that is left."""

    total_ms: Annotated[float, Range(above=0)]
    memory_ms: Annotated[float, Range(above=0)] | None = None
    disk_ms: Annotated[float, Range(above=0)] | None = None


@dataclass(frozen=True)
class Attempt:
    """What one tier did. `deadline` names the one that passed, None where it was in time."""

    tier: Tier
    ended: Ended
    latency_ms: float
    why: str = ""
    deadline: str | None = None


@dataclass
class Counts:
    """What happened in one training, by tier."""

    hits: dict[Tier, int] = field(default_factory=lambda: {"memory": 0, "disk": 0})
    misses: dict[Tier, int] = field(default_factory=lambda: {"memory": 0, "disk": 0})
    failures: dict[Tier, int] = field(default_factory=lambda: {"memory": 0, "disk": 0})
    deadline_exceeded: int = 0


class TiersFailed(RestoreFailed):
    """No tier brought a state back; what is live is the state that was to be left, or a part of another."""

    def __init__(self, attempts: list[Attempt]) -> None:
        said = "; ".join(f"{attempt.tier}: {attempt.ended}, {attempt.why}" for attempt in attempts)
        super().__init__("no tier could restore a state: " + (said or "there is none"))
        self.attempts = attempts

    @property
    def late(self) -> bool:
        """Whether a deadline passed; if not, there was nothing usable to restore."""
        return any(attempt.deadline for attempt in self.attempts)

    def __reduce__(self) -> tuple[type["TiersFailed"], tuple[list[Attempt]]]:
        return type(self), (self.attempts,)


class Tiers:
    """A ring in memory, checkpoints on the disk, or both."""

    def __init__(self, state: State, *, ring: Ring | None, disk: Disk | None, budgets: Budgets) -> None:
        self._state, self.ring, self.disk, self._budgets = state, ring, disk, budgets
        self._unarmed_from_disk = False
        self.asked: tuple[Tier, ...] = ("memory", "disk")  # what a restore may use, of what there is
        self.counts, self.attempts = Counts(), list[Attempt]()

    @property
    def bytes(self) -> int:
        """The memory of all slots of the ring."""
        return self.ring.bytes if self.ring else 0

    @property
    def captured(self) -> int:
        """Snapshots captured in memory."""
        return self.ring.captured if self.ring else 0

    @property
    def unarmed(self) -> Snapshot | None:
        """The snapshot in memory that the live state was adopted from, until it is armed again."""
        return self.ring.unarmed if self.ring else None

    def newest_good(self) -> Snapshot | None:
        """What a restore from memory would take."""
        return self.ring.newest_good() if self.ring else None

    def clear(self) -> None:
        """Forgets everything of the training before, on the disk too."""
        self.counts, self.attempts = Counts(), list[Attempt]()
        self._unarmed_from_disk = False
        if self.ring:
            self.ring.clear()
        if self.disk:
            self.disk.rewind()

    def capture(self) -> Snapshot | None:
        """Copies the live state into the ring as a candidate; None where there is no room for one."""
        return self.ring.capture() if self.ring else None

    def checkpoint(self) -> None:
        """Begins a checkpoint where the step is one for it."""
        if self.disk:
            self.disk.keep()

    def confirm(self) -> None:
        """A healthy step was made from the newest snapshot, and from the newest checkpoint."""
        if self.ring:
            self.ring.confirm()
        if self.disk:
            self.disk.confirm()

    def rearm(self) -> bool:
        """Makes the restored state restorable again; must run before anything writes to it.

        Says whether there was anything to do.
        """
        if self.ring is None:
            return False
        if self._unarmed_from_disk:
            self._unarmed_from_disk = False
            captured = self.ring.capture()
            if captured is not None:
                captured.good = True  # only states that a healthy step was made from are ever committed
            return captured is not None
        return self.ring.rearm()

    def restore(self, method: Method) -> tuple[Snapshot, int]:
        """Goes back to the newest good state of the first tier that has one and brings it back in time.

        Gives the snapshot, and the nanoseconds from the decision to the state in place; `attempts` says what each tier
        did. A restore from memory cannot be ended: where it comes too late, the state is back, and it counts as late.

        Raises:
            TiersFailed: no tier could; the live state must not be trained on.
        """
        started = time.perf_counter_ns()
        self.attempts = []
        if self.disk:
            self.disk.abandon("a step failed before a healthy one was made from this state")
        tiers: list[tuple[Tier, Callable[[int], Snapshot]]] = []
        if self.ring and "memory" in self.asked:
            tiers.append(("memory", lambda _: self._from_memory(method)))
        if self.disk and "disk" in self.asked:
            tiers.append(("disk", lambda deadline_ns: self._from_disk(method, deadline_ns)))
        for tier, take in tiers:
            snapshot = self._try(tier, take, started)
            if snapshot is not None:
                latency_ns = time.perf_counter_ns() - started
                if self.disk:
                    self.disk.forget(snapshot.step)
                return snapshot, latency_ns
        raise TiersFailed(self.attempts)

    def _try(self, tier: Tier, take: Callable[[int], Snapshot], decided: int) -> Snapshot | None:
        """One tier's attempt; counts it, and gives what it restored.

        Memory is tried also when no time is left: it takes microseconds, and a state that is back late is better than
        none.
        """
        began = time.perf_counter_ns()
        deadline_ns, named = self._deadline(tier, decided, began)
        if began >= deadline_ns and tier == "disk":
            self._note(Attempt(tier, "late", 0.0, "no time was left for it", named))
            return None
        snapshot, ended, why = None, "hit", ""
        try:
            snapshot = take(deadline_ns)
        except _Nothing as error:
            ended, why = "miss", str(error)
        except RestoreLate as error:
            ended, why = "late", error.message
        except Exception as error:  # whatever a part or the disk raises, the next tier replaces all of the state
            ended, why = "failed", f"{type(error).__name__}: {error}"
        now = time.perf_counter_ns()
        exceeded = named if ended == "late" or (ended == "hit" and now > deadline_ns) else None
        self._note(Attempt(tier, ended, (now - began) / 1e6, why, exceeded))  # type: ignore[arg-type]
        return snapshot

    def _deadline(self, tier: Tier, decided: int, began: int) -> tuple[int, str]:
        """The earlier of the tier's own deadline and the one of the whole, on the clock, and its name."""
        whole = decided + int(self._budgets.total_ms * 1e6)
        own_ms = self._budgets.memory_ms if tier == "memory" else self._budgets.disk_ms
        own = whole if own_ms is None else began + int(own_ms * 1e6)
        return (own, tier) if own < whole else (whole, "total")

    def _note(self, attempt: Attempt) -> None:
        if attempt.deadline is not None and not any(before.deadline for before in self.attempts):
            self.counts.deadline_exceeded += 1  # once a restore, however many tiers were late
        self.attempts.append(attempt)
        if attempt.ended == "hit":
            self.counts.hits[attempt.tier] += 1
        elif attempt.ended == "miss":
            self.counts.misses[attempt.tier] += 1
        elif attempt.ended == "failed":
            self.counts.failures[attempt.tier] += 1

    def _from_memory(self, method: Method) -> Snapshot:
        assert self.ring is not None
        if self.ring.newest_good() is None:
            raise _Nothing("memory holds no good state")
        return self.ring.restore(method)[0]

    def _from_disk(self, method: Method, deadline_ns: int) -> Snapshot:
        assert self.disk is not None
        if not self.disk.await_target(deadline_ns):
            raise _Nothing("no checkpoint was committed")
        snapshot = self.disk.load(deadline_ns=deadline_ns)
        if method == "adopt":
            self._state.adopt(snapshot)
        else:
            self._state.copy_back(snapshot)
        self._forget_memory()
        return snapshot

    def _forget_memory(self) -> None:
        """What memory holds is of the way that was left, or failed to come back."""
        if self.ring:
            captured = self.ring.captured
            self.ring.clear()
            self.ring.captured = captured
            self._unarmed_from_disk = True

    def counters(self) -> dict[str, float]:
        """What this training counted, under the names of the catalogue."""
        counts = self.counts
        return {
            "tolaria.rollback.fast_hits_total": counts.hits["memory"],
            "tolaria.rollback.fast_misses_total": counts.misses["memory"],
            "tolaria.rollback.fast_failures_total": counts.failures["memory"],
            "tolaria.rollback.full_hits_total": counts.hits["disk"],
            "tolaria.rollback.full_misses_total": counts.misses["disk"],
            "tolaria.rollback.full_failures_total": counts.failures["disk"],
            "tolaria.rollback.deadline_exceeded_total": counts.deadline_exceeded,
            **(self.disk.counters() if self.disk else {}),
        }

    def close(self) -> None:
        """Ends what writes checkpoints."""
        if self.disk:
            self.disk.close()


class _Nothing(Exception):  # a tier that holds nothing has not failed
    """A tier has nothing to restore."""
