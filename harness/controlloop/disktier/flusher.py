"""Brings checkpoints to the disk while training goes on; training is held up for one copy of its memory.

A checkpoint is a candidate until a healthy step was made from its state, as a snapshot in memory is. It may be written
before that is known, but it is committed only after.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.controlloop.disktier.checkpoint import Abandoned, Written, model_hash, write
from harness.controlloop.disktier.wal import Target, Transaction, Wal, toolchain
from harness.controlloop.snapshot import Snapshot
from harness.journal.files import Files

TEMPORARY = ".new"


@dataclass(frozen=True)
class Outcome:
    """What became of one checkpoint; `flush_ms` is from its beginning to its last byte on the disk."""

    step: int
    kind: Literal["committed", "abandoned", "failed"]
    reason: str
    bytes: int = 0
    flush_ms: float = 0.0


class Pending:
    """One checkpoint between its capture and its end."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._said = threading.Event()
        self._verdict_lock = threading.Lock()
        self.good = False
        self.reason = ""

    @property
    def abandoned(self) -> bool:
        """Whether it was said that it is not to be committed."""
        return self._said.is_set() and not self.good

    @property
    def decided(self) -> bool:
        """Whether it was said what is to become of it."""
        return self._said.is_set()

    def decide(self, *, good: bool, reason: str = "") -> None:
        """Says once and for all whether a healthy step was made from the state."""
        with self._verdict_lock:
            if not self._said.is_set():
                self.good, self.reason = good, reason
                self._said.set()

    def wait(self) -> None:
        """Returns when it was decided."""
        self._said.wait()


class Flusher:
    """A thread that writes one checkpoint at a time and alone uses the log."""

    def __init__(self, wal: Wal, folder: Path, *, keep: int, files: Files, notice: Callable[[Outcome], None]) -> None:
        """Keeps the newest `keep` checkpoints; `notice` is called in the thread, with every outcome."""
        self._wal, self._folder, self._keep, self._files, self._notice = wal, folder, keep, files, notice
        self._toolchain = toolchain()
        self.targets: tuple[Target, ...] = tuple(wal.targets[-keep:])  # replaced as a whole, so any thread may read it
        self._queue: queue.SimpleQueue[Pending | int | None] = queue.SimpleQueue()
        self.pending: Pending | None = None
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._serve, name="checkpoint writer", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is on its way, and its staging memory in use."""
        return not self._idle.is_set()

    def start(self, snapshot: Snapshot) -> None:
        """Begins to write; the snapshot's memory must stay as it is until this is no longer busy."""
        assert not self.busy
        self._idle.clear()
        self.pending = Pending(snapshot)
        self._queue.put(self.pending)

    def decide(self, *, good: bool, reason: str = "") -> None:
        """Says of the checkpoint on its way whether its state proved healthy; the first word counts."""
        if self.pending is not None:
            self.pending.decide(good=good, reason=reason)

    def forget(self, after_step: int) -> None:
        """Drops what was committed at a later step: at once from `targets`, in its turn from log and folder."""
        if any(target.transaction.step > after_step for target in self.targets):
            self.targets = tuple(target for target in self.targets if target.transaction.step <= after_step)
            self._queue.put(after_step)

    def wait(self, timeout_s: float) -> bool:
        """Whether nothing is on its way any more within that time; a checkpoint nobody decided on is waited for."""
        return self._idle.wait(timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Ends the thread, whose undecided checkpoint is abandoned; says whether it came to its end in that time."""
        self.decide(good=False, reason="the training ended before a healthy step was made from it")
        self._queue.put(None)
        self._thread.join(timeout_s)
        ended = not self._thread.is_alive()
        if ended:
            self._wal.close()
        return ended

    def _serve(self) -> None:
        while (task := self._queue.get()) is not None:
            step = task.snapshot.step if isinstance(task, Pending) else task
            try:
                outcome = self._carry_out(task) if isinstance(task, Pending) else self._forget(task)
            except Exception as error:  # whatever it is, the next checkpoint has to be tried, and this one told
                outcome = Outcome(step, "failed", str(error))
            if outcome is not None:
                self._notice(outcome)
            if isinstance(task, Pending):
                self.pending = None
                self._idle.set()

    def _forget(self, after_step: int) -> Outcome | None:
        dropped = [target for target in self._wal.targets if target.transaction.step > after_step]
        self._wal.forget(after_step)
        for target in dropped:
            self._files.remove(self._folder / target.transaction.file)
        return None

    def _carry_out(self, pending: Pending) -> Outcome:
        """Begin, write, sync; then, once the state has proved healthy, name, commit, and drop the oldest."""
        started, snapshot = time.perf_counter_ns(), pending.snapshot
        transaction = self._wal.begin(
            Transaction(
                f"step-{snapshot.step:09d}-{self._wal.next_number}.ckpt",
                model_hash(snapshot.arena.layout),
                snapshot.run_id,
                snapshot.step,
                snapshot.epoch,
                self._toolchain,
            )
        )
        temporary = self._folder / (transaction.file + TEMPORARY)
        try:
            written = write(temporary, snapshot, self._toolchain, files=self._files, stop=lambda: pending.abandoned)
        except Abandoned:
            return self._abort(transaction, pending, temporary)
        except OSError as error:
            self._wal.abort(transaction, str(error))
            raise
        flush_ms = (time.perf_counter_ns() - started) / 1e6
        pending.wait()
        if not pending.good:
            return self._abort(transaction, pending, temporary)
        self._commit(transaction, temporary, written)
        return Outcome(snapshot.step, "committed", "", written.bytes, flush_ms)

    def _abort(self, transaction: Transaction, pending: Pending, temporary: Path) -> Outcome:
        self._files.remove(temporary)
        self._wal.abort(transaction, pending.reason)
        return Outcome(transaction.step, "abandoned", pending.reason)

    def _commit(self, transaction: Transaction, temporary: Path, written: Written) -> None:
        self._files.publish(temporary, self._folder / transaction.file)
        target = self._wal.commit(transaction, size=written.bytes, seal=written.seal, state=written.state)
        kept = (*self.targets, target)
        self.targets = kept[-self._keep :]
        for old in kept[: -self._keep]:
            self._files.remove(self._folder / old.transaction.file)
