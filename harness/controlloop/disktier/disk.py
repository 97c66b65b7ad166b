"""The disk tier: checkpoints written while training goes on, and the way back to the newest that can be trusted."""

import os
import queue
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from harness.controlloop.disktier.checkpoint import CheckpointDamaged
from harness.controlloop.disktier.flusher import TEMPORARY, Flusher, Outcome
from harness.controlloop.disktier.shadow import RestoreLate, Shadow, host_arena
from harness.controlloop.disktier.wal import Target, Wal, toolchain
from harness.controlloop.snapshot import RestoreFailed, Snapshot, State
from harness.controlloop.telemetry import Telemetry
from harness.journal.files import Files
from harness.ranges import Range

LOG_FOLDER = "wal"
_CLOSE_S = 30.0  # one checkpoint more than this on the disk would take, and the writer is left behind


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """How often the state is brought to the disk, how much of it stays there, and how it is read."""

    every: Annotated[int, Range(min=1)]
    keep: Annotated[int, Range(min=1)]
    threads: Annotated[int, Range(min=1, max=64)]
    strict: bool


class Disk:
    """Checkpoints of one training in one folder."""

    def __init__(
        self,
        state: State,
        folder: Path,
        settings: CheckpointSettings,
        telemetry: Telemetry,
        *,
        files: Files | None = None,
    ) -> None:
        """Opens the folder, drops what was never committed, and says what was wrong with its log.

        Raises:
            LogDamaged: `strict`, and the log holds a bad record that no kill explains.
            BenchmarkFailed: another process uses the folder.
            StoreLost: the folder cannot be written.
        """
        self._state, self.folder, self._settings, self._telemetry = state, folder, settings, telemetry
        self._files = files or Files()
        self._wal = Wal(folder / LOG_FOLDER, strict=settings.strict, files=self._files)
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._tell_of_log()
        self._drop_uncommitted()
        self.staging, self._shadow = host_arena(state), Shadow(state, threads=settings.threads)
        self._flusher = Flusher(self._wal, folder, keep=settings.keep, files=self._files, notice=self._outcomes.put)
        self._last_kept = -1
        self._reset()

    def rewind(self) -> None:
        """Forgets what the training before has committed, and counts from zero."""
        self.abandon("the training was taken back to its beginning")
        self.forget(-1)
        self.wait(_CLOSE_S)
        self._reset()

    def forget(self, after_step: int) -> None:
        """Drops checkpoints of later steps: training went back, and is to make those steps again."""
        self._flusher.forget(after_step)

    def _reset(self) -> None:
        self.committed = self.skipped = self.abandoned = self.failed = 0

    def _tell_of_log(self) -> None:
        for flaw in self._wal.torn:
            self._telemetry.event(
                "wal.torn_tail", level="warning", file=flaw.file, offset=flaw.offset, reason=flaw.reason
            )
        for flaw in self._wal.flaws:
            self._telemetry.event("wal.damaged", level="error", file=flaw.file, offset=flaw.offset, reason=flaw.reason)

    def _drop_uncommitted(self) -> None:
        committed = {target.transaction.file for target in self._wal.targets[-self._settings.keep :]}
        for path in self.folder.iterdir():
            if path.name.endswith((".ckpt", ".ckpt" + TEMPORARY)) and path.name not in committed:
                self._files.remove(path)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What may be restored, oldest first."""
        return self._flusher.targets

    def keep(self) -> None:
        """Begins a checkpoint where the step is one for it; holds training up for one copy of the state.

        A checkpoint that is still on its way is not waited for: this one is left out, and counted.
        """
        step = self._state.progress.step
        if step % self._settings.every or step == self._last_kept:
            return
        self.settle()
        if self._flusher.busy:
            self.skipped += 1
            return
        started = time.perf_counter_ns()
        self._flusher.start(self._state.capture(self.staging))
        self._telemetry.record("tolaria.checkpoint.blocking_ms", (time.perf_counter_ns() - started) / 1e6)
        self._last_kept = step

    def confirm(self) -> None:
        """A healthy step was made from the newest checkpoint, or from a state after it."""
        self._flusher.decide(good=True)

    def abandon(self, reason: str) -> None:
        """A step failed before the newest checkpoint had proved healthy: it is never committed."""
        self._flusher.decide(good=False, reason=reason)
        self._last_kept = -1

    def settle(self) -> None:
        """Counts and tells what the writer has done since the last time; called in the training's own thread."""
        while True:
            try:
                outcome = self._outcomes.get_nowait()
            except queue.Empty:
                return
            if outcome.kind == "committed":
                self.committed += 1
                self._telemetry.record("tolaria.checkpoint.flush_ms", outcome.flush_ms)
                self._telemetry.event("tolaria.checkpoint.committed", step=outcome.step, bytes=outcome.bytes)
            else:
                self.abandoned += outcome.kind == "abandoned"
                self.failed += outcome.kind == "failed"
                level = "error" if outcome.kind == "failed" else "warning"
                name = f"tolaria.checkpoint.{outcome.kind}"
                self._telemetry.event(name, level=level, step=outcome.step, reason=outcome.reason)

    def wait(self, timeout_s: float) -> bool:
        """Whether the checkpoint on its way came to its end within that time."""
        ended = self._flusher.wait(timeout_s)
        self.settle()
        return ended

    def await_target(self, deadline_ns: int) -> bool:
        """Whether there is something to restore; where there is not yet, a good checkpoint on its way is waited for."""
        if not self.targets:
            self._flusher.wait(max(0.0, (deadline_ns - time.perf_counter_ns()) / 1e9))
        return bool(self.targets)

    def load(self, *, deadline_ns: int) -> Snapshot:
        """The newest checkpoint that is whole, read and verified; the live state is not touched.

        One that is damaged is told, and the next older one is read, as long as there is time.

        Raises:
            RestoreLate: the deadline passed.
            RestoreFailed: there is none that can be restored.
        """
        reasons = []
        for target in reversed(self.targets):
            try:
                snapshot = self._shadow.load(
                    self.folder / target.transaction.file, deadline_ns=deadline_ns, seal=target.seal
                )
            except RestoreLate:
                raise
            except (RestoreFailed, OSError) as error:
                reasons.append(f"; step {target.transaction.step}: {error}")
                self._tell_unusable(target, error)
            else:
                self._tell_of_versions(target)
                return snapshot
        raise RestoreFailed("no checkpoint could be restored" + ("".join(reasons) or ": none was committed"))

    def _tell_unusable(self, target: Target, error: Exception) -> None:
        offset = error.offset if isinstance(error, CheckpointDamaged) else None
        self._telemetry.event(
            "tolaria.checkpoint.unusable",
            level="error",
            file=target.transaction.file,
            step=target.transaction.step,
            offset=offset,
            reason=str(error),
        )

    def _tell_of_versions(self, target: Target) -> None:
        written_by, mine = dict(target.transaction.toolchain), toolchain()
        if written_by != mine:
            self._telemetry.event("tolaria.checkpoint.other_versions", level="warning", written_by=written_by, now=mine)

    def counters(self) -> dict[str, float]:
        """What this training counted, under the names of the catalogue."""
        self.settle()
        return {
            "tolaria.checkpoint.committed_total": self.committed,
            "tolaria.checkpoint.skipped_total": self.skipped,
            "tolaria.checkpoint.abandoned_total": self.abandoned,
            "tolaria.checkpoint.failed_total": self.failed,
        }

    def close(self) -> None:
        """Ends the threads; what has not proved healthy by now is not committed."""
        ended = self._flusher.close(_CLOSE_S)
        self._shadow.close()
        self.settle()
        if not ended:
            self._telemetry.event("tolaria.checkpoint.writer_stuck", level="error", pid=os.getpid(), waited_s=_CLOSE_S)
