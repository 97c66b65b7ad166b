"""Threads that wait for a checkpoint to read: starting one takes as long as reading ten megabytes on a busy host."""

import itertools
import os
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import xxhash

from harness.controlloop.disktier.checkpoint import CheckpointDamaged, Chunk


class Work:
    """One file being read; the last thread closes it."""

    def __init__(
        self,
        path: Path,
        descriptor: int,
        chunks: Sequence[Chunk],
        sums: Sequence[int],
        blocks: Sequence[memoryview],
        threads: int,
    ) -> None:
        self._path, self._descriptor = path, descriptor
        self._chunks, self._sums, self._blocks = chunks, sums, blocks
        self._next, self._stopped = itertools.count(), False
        self._ended = threading.Semaphore(0)
        self._lock, self._running, self._threads = threading.Lock(), threads, threads
        self._left = threading.Event()
        self._errors: list[Exception] = []
        self._verified: list[int] = []

    @property
    def verified(self) -> int:
        """How many chunks were read and found right."""
        return len(self._verified)

    def left(self, deadline_ns: int) -> bool:
        """Whether no thread can write to the memory any more, before the deadline."""
        return self._left.wait(max(0.0, (deadline_ns - time.perf_counter_ns()) / 1e9))

    def take_part(self) -> None:
        """Reads chunk after chunk until there is none left; what every thread does."""
        try:
            for i in self._next:
                if i >= len(self._chunks) or self._stopped:
                    break
                self._read(self._chunks[i], self._sums[i])
                self._verified.append(i)
        except Exception as error:  # whatever it is, it is raised where the restore was asked for
            self._errors.append(error)
            self._stopped = True
        with self._lock:
            self._running -= 1
            last = not self._running
        if last:
            os.close(self._descriptor)
            self._left.set()
        self._ended.release()

    def _read(self, chunk: Chunk, expected: int) -> None:
        target = self._blocks[chunk.block][chunk.at : chunk.at + chunk.bytes]
        done = os.preadv(self._descriptor, [target], chunk.offset)
        while done < chunk.bytes:
            more = os.preadv(self._descriptor, [target[done:]], chunk.offset + done)
            if not more:
                raise CheckpointDamaged(self._path, chunk.offset + done, "the file ends here")
            done += more
        if xxhash.xxh3_64_intdigest(target) != expected:
            raise CheckpointDamaged(self._path, chunk.offset, "the checksum of the chunk does not match")

    def wait(self, deadline_ns: int) -> bool:
        """Whether all was verified before the deadline; if not, the threads stop after the chunk they are at.

        Raises:
            Exception: what a thread met.
        """
        for _ in range(self._threads):
            left_s = (deadline_ns - time.perf_counter_ns()) / 1e9
            if not self._ended.acquire(timeout=max(0.0, left_s)):
                self._stopped = True
                return False
        if self._errors:
            raise self._errors[0]
        return time.perf_counter_ns() <= deadline_ns


class Readers:
    """A fixed number of threads, all of which work on one file at a time."""

    def __init__(self, threads: int) -> None:
        self._queues: list[queue.SimpleQueue[Work | None]] = [queue.SimpleQueue() for _ in range(threads)]
        self._work: Work | None = None
        for each in self._queues:
            threading.Thread(target=_serve, args=(each,), name="checkpoint reader", daemon=True).start()

    def free(self, deadline_ns: int) -> bool:
        """Whether every thread has come back from its last file, before the deadline."""
        return self._work is None or self._work.left(deadline_ns)

    def start(
        self,
        path: Path,
        descriptor: int,
        chunks: Sequence[Chunk],
        sums: Sequence[int],
        blocks: Sequence[memoryview],
    ) -> Work:
        """Has the chunks read into the blocks and held against their checksums; the file is closed in the end."""
        self._work = work = Work(path, descriptor, chunks, sums, blocks, len(self._queues))
        for each in self._queues:
            each.put(work)
        return work

    def close(self) -> None:
        """Ends the threads, a stuck one when it comes back."""
        for each in self._queues:
            each.put(None)


def _serve(work_queue: "queue.SimpleQueue[Work | None]") -> None:
    while (work := work_queue.get()) is not None:
        work.take_part()
        del work  # it holds the memory of a state
