"""Memory beside the live state, into which a checkpoint is read and verified before anything is adopted.

Two threads read chunk by chunk and hash each while it is in their cache. The live state is not touched until every
chunk was verified in time; then the memory of the shadow becomes the live state by swapping pointers.
"""

import os
import time
from pathlib import Path

import torch

from harness.controlloop.arena import Arena, allocate
from harness.controlloop.disktier.checkpoint import (
    CHUNK_BYTES,
    CheckpointDamaged,
    Chunk,
    Index,
    check_fits,
    chunks_of,
    model_hash,
    read_index,
    views_of,
)
from harness.controlloop.disktier.readers import Readers
from harness.controlloop.snapshot import RestoreFailed, Snapshot, State

_HOST = torch.device("cpu")
_BINARY = getattr(os, "O_BINARY", 0)


class RestoreLate(RestoreFailed):
    """A restore was not done when its deadline passed; the live state is as it was."""

    def __init__(self, message: str, elapsed_ms: float) -> None:
        super().__init__(message)
        self.elapsed_ms = elapsed_ms

    def __reduce__(self) -> tuple[type["RestoreLate"], tuple[str, float]]:
        return type(self), (self.message, self.elapsed_ms)


class Shadow:
    """The memory of one more state, touched beforehand, and the threads that fill it."""

    def __init__(self, state: State, *, threads: int) -> None:
        self._state, self.arena = state, state.new_arena()
        self._layout = self.arena.layout
        self._model = model_hash(self._layout)
        self._on_host = self._layout.devices == [_HOST]
        self._staging = self.arena if self._on_host else host_arena(state)
        self._chunks = chunks_of(self._layout.sizes)
        self._readers = Readers(threads)

    def load(self, path: Path, *, deadline_ns: int, seal: str | None = None) -> Snapshot:
        """A verified snapshot that is ready to be adopted; `deadline_ns` is on the clock of `perf_counter_ns`.

        Raises:
            RestoreLate: it was not there in time. A thread that is stuck in the disk may write to the shadow later, so
                the shadow is not used again before that thread has come back.
            RestoreFailed: the file is damaged, or does not fit.
            OSError: it cannot be read.
        """
        started = time.perf_counter_ns()
        if not self._readers.free(deadline_ns):
            elapsed_ms = (time.perf_counter_ns() - started) / 1e6
            raise RestoreLate("a thread of an earlier restore is still stuck in the disk", elapsed_ms)
        descriptor = os.open(path, os.O_RDONLY | _BINARY)
        try:
            index = read_index(path, descriptor, seal=seal)
            check_fits(index, self._model)
            chunks = self._chunks_of(index)
            # Before the threads start: it takes a tenth of a millisecond alone, and ten times that beside them, for
            # they all need the interpreter.
            snapshot = self._revive(index)
        except BaseException:
            os.close(descriptor)
            raise
        work = self._readers.start(path, descriptor, chunks, index.sums, views_of(self._staging))
        if not work.wait(deadline_ns):
            elapsed_ms = (time.perf_counter_ns() - started) / 1e6
            raise RestoreLate(
                f"{work.verified} of {len(chunks)} chunks of {path.name} were verified in time", elapsed_ms
            )
        if not self._on_host:
            self.arena.copy_from(self._staging)
        return snapshot

    def _revive(self, index: Index) -> Snapshot:
        """The snapshot that the checkpoint holds; its arena is filled afterwards."""
        try:
            snapshot = self._state.revive(
                self.arena, index.parts(), step=index.step, epoch=index.epoch, run_id=index.run_id
            )
        except RestoreFailed as error:
            raise RestoreFailed(f"{index.path.name}: {error.message}") from error
        snapshot.good = True  # only states that a healthy step was made from are ever committed
        return snapshot

    def _chunks_of(self, index: Index) -> list[Chunk]:
        chunks = self._chunks
        if index.chunk_bytes != CHUNK_BYTES:
            chunks = chunks_of(self._layout.sizes, index.chunk_bytes)
        if len(chunks) != len(index.sums):
            raise CheckpointDamaged(index.path, 0, f"it has {len(index.sums)} checksums for {len(chunks)} chunks")
        return chunks

    def close(self) -> None:
        """Ends the threads; one that is stuck ends when the disk lets it."""
        self._readers.close()


def host_arena(state: State) -> Arena:
    """Memory for one more state, on the host wherever the state itself is."""
    return Arena(state.live.arena.layout, lambda size, device: allocate(size, _HOST))
