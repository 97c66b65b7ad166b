"""The last few good states in memory, ready to become the live state.

A snapshot is a candidate until a healthy step was made from it; only a good one is ever restored. So a state that a bad
step left behind, captured before anyone noticed, is never what a restore goes back to.

Adopting a snapshot gives its memory away. Until it is armed again, which must be before the next write to the state
(batch norm writes in forward), a second fault takes the next older one.
"""

import gc
import time
from collections.abc import Callable
from typing import Literal

from harness.controlloop.arena import Arena
from harness.controlloop.snapshot import RestoreFailed, Snapshot, State

Method = Literal["adopt", "copy"]


class Ring:
    """Snapshots oldest first, in memory that was allocated and touched beforehand."""

    def __init__(self, state: State, *, slots: int, cap_bytes: int | None) -> None:
        """Takes `slots` arenas, or as many as fit into `cap_bytes`; with fewer than two the ring stays empty.

        Two is the least: a candidate must never overwrite the only good snapshot.
        """
        self._state = state
        fitting = slots if cap_bytes is None else min(slots, cap_bytes // state.bytes)
        self._free: list[Arena] = [state.new_arena() for _ in range(fitting)] if fitting >= 2 else []
        self.slots = len(self._free)
        self._held: list[Snapshot] = []
        self.captured = 0

    @property
    def bytes(self) -> int:
        """The memory of all slots."""
        return self.slots * self._state.bytes

    @property
    def held(self) -> tuple[Snapshot, ...]:
        """The snapshots, oldest first."""
        return tuple(self._held)

    def newest_good(self) -> Snapshot | None:
        """What a restore would take, None where there is nothing to go back to."""
        for snapshot in reversed(self._held):
            if snapshot.good and snapshot.armed:
                return snapshot
        return None

    def capture(self) -> Snapshot | None:
        """Copies the live state into the ring as a candidate; None where the cap leaves no room for one."""
        if not self.slots:
            return None
        if not self._free:
            self._evict()
        arena = self._free.pop()
        try:
            snapshot = self._state.capture(arena)
        except BaseException:
            self._free.append(arena)
            raise
        self._held.append(snapshot)
        self.captured += 1
        return snapshot

    def _evict(self) -> None:
        """Frees the oldest slot that is not the newest good one."""
        keep = self.newest_good()
        self._release(next(snapshot for snapshot in self._held if snapshot is not keep))

    def _release(self, snapshot: Snapshot) -> None:
        self._held.remove(snapshot)
        self._free.append(snapshot.arena)

    def confirm(self) -> None:
        """A healthy step was made from the newest snapshot, or from a state after it: it is good."""
        if self._held:
            self._held[-1].good = True

    def restore(self, method: Method) -> tuple[Snapshot, int]:
        """Goes back to the newest good snapshot, or, where that fails, to the next older one, and drops what is newer.

        Gives the snapshot, and the nanoseconds from the decision (the choice of a snapshot) to the state in place.

        Raises:
            RestoreFailed: none could be restored; the state must not be trained on.
        """
        take: Callable[[Snapshot], None] = self._state.adopt if method == "adopt" else self._state.copy_back
        target = self.newest_good()
        collecting = gc.isenabled()
        gc.disable()  # a collection with torch loaded can take longer than the restore by a factor of a thousand
        try:
            decided = time.perf_counter_ns()
            snapshot = self._first_that_works(take, target)
            adopted = time.perf_counter_ns()
        finally:
            if collecting:
                gc.enable()
        self._drop_newer(snapshot)
        return snapshot, adopted - decided

    def _first_that_works(self, take: Callable[[Snapshot], None], snapshot: Snapshot | None) -> Snapshot:
        reasons: list[str] = []
        while snapshot is not None:
            try:
                take(snapshot)
            except Exception as error:  # whatever a part raises, the next older snapshot replaces all of it
                reasons.append(f"; step {snapshot.step}: {error}")
                self._release(snapshot)
                snapshot = self.newest_good()
            else:
                return snapshot
        raise RestoreFailed("no snapshot could be restored" + "".join(reasons))

    def _drop_newer(self, snapshot: Snapshot) -> None:
        """Forgets what was captured after `snapshot`, on the way that was left."""
        while self._held[-1] is not snapshot:
            self._release(self._held[-1])

    @property
    def unarmed(self) -> Snapshot | None:
        """The snapshot that the live state was adopted from, until it is armed again."""
        newest = self._held[-1] if self._held else None
        return None if newest is None or newest.armed else newest

    def rearm(self) -> bool:
        """Copies the adopted state back into its slot; must run before anything writes to the state.

        Says whether there was anything to do.
        """
        snapshot = self.unarmed
        if snapshot is None:
            return False
        snapshot.arena.copy_from(self._state.live.arena)
        snapshot.armed = True
        return True

    def clear(self) -> None:
        """Forgets all snapshots; their memory stays."""
        while self._held:
            self._release(self._held[-1])
        self.captured = 0
