"""How fast a verified restore from a file is against reading it unverified, and against torch.load and load_state_dict.

All read from a warm page cache. The bare reads use as many waiting threads as the restore, into the same memory.
"""

import ctypes
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import torch

from harness.controlloop.disktier import checkpoint
from harness.controlloop.disktier.checkpoint import PAGE, views_of
from harness.controlloop.disktier.importer import import_torch
from harness.controlloop.disktier.shadow import Shadow
from harness.controlloop.disktier.wal import toolchain
from harness.errors import BenchmarkFailed
from harness.journal.files import Files
from harness.measure.paired import Paired, paired_ratio
from harness.runner import Context
from harness.scenarios.bench.restore_subject import Subject

THREADS = 2
_MIB = 1 << 20
_AN_HOUR_NS = 3600 * 10**9
_PROVE_EVERY = 5  # rounds between two restores of a really disturbed state, compared by their hashes


def measure_full(context: Context, subject: Subject, label: str, rounds: int, go_on: Callable[[], None]) -> None:
    """Records what a restore of the subject's good state from a file costs, in paired rounds."""
    with tempfile.TemporaryDirectory(prefix="restore-", dir=context.folder) as folder:
        rounds_of = _Rounds(subject, Path(folder))
        try:
            for _ in range(rounds):
                go_on()
                rounds_of.round()
            _record(context, rounds_of, label)
        finally:
            rounds_of.close()


def _record(context: Context, rounds: "_Rounds", label: str) -> None:
    limit, against_read = rounds.against_read()
    peer = rounds.against("torch_load")
    copied = rounds.against("memcpy")
    for name, ratio in (("pread", against_read), ("torch_load", peer), ("memcpy", copied)):
        if ratio.low is None or ratio.high is None:
            raise BenchmarkFailed(f"sizes.full_rounds should be enough for an interval. Found {ratio.n}.")
        context.record_interval(f"bench.restore.full_vs_{name}", ratio.estimate, ratio.low, ratio.high)
    context.record(f"bench.restore.full_ms.{label}", rounds.milliseconds("restore"))
    context.event(
        "bench.restore.full",
        size=label,
        threads=THREADS,
        fastest_read=limit,
        hashes_compared=rounds.proved,
        **{f"{way}_ms": round(rounds.milliseconds(way), 3) for way in rounds.ways},
    )


class _Rounds:
    """Rounds in which the restore, bare reads, a bare copy and torch's own way take turns, in random order."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self._subject, self._state = subject, subject.state
        self._path, peer = folder / "state.ckpt", folder / "state.pt"
        self._written = checkpoint.write(self._path, subject.snapshot, toolchain(), files=Files())
        self._shadow = Shadow(self._state, threads=THREADS)
        self._readers = ThreadPoolExecutor(THREADS)
        self._peer = _Peer(subject, peer)
        half = -(-self._state.bytes // THREADS)
        self.ways: dict[str, Callable[[], object]] = {
            "restore": self._restore,
            "read_1mb": lambda: self._read(_MIB),
            "read_4mb": lambda: self._read(4 * _MIB),
            "read_halves": lambda: self._read(half),
            "memcpy": lambda: self._shadow.arena.copy_from(subject.snapshot.arena),
            "torch_load": self._peer.load,
        }
        self._times: dict[str, list[int]] = {way: [] for way in self.ways}
        self._order = random.Random(0)
        self.proved = 0
        for way in self.ways.values():
            way()  # the first time of each imports, maps and starts threads

    def round(self) -> None:
        """Each way once; now and then the state is disturbed before the restore, and its hash compared after."""
        prove = len(self._times["restore"]) % _PROVE_EVERY == 0
        for way in self._order.sample(sorted(self.ways), len(self.ways)):
            if way == "restore" and prove:
                self._disturb()
            if way == "torch_load":
                _give_memory_back()
            started = time.perf_counter_ns()
            self.ways[way]()
            self._times[way].append(time.perf_counter_ns() - started)
            if way == "restore" and prove:
                self._prove()

    def _disturb(self) -> None:
        self._subject.disturb(draw_from_numpy=True)
        if self._subject.fingerprint()[0] == self._subject.good[0]:
            raise BenchmarkFailed("the disturbance left the state as it was: a restore would prove nothing")

    def _prove(self) -> None:
        if self._subject.fingerprint() != self._subject.good:
            raise BenchmarkFailed("the restore from the file did not bring the good state back")
        self.proved += 1

    def _restore(self) -> None:
        deadline_ns = time.perf_counter_ns() + _AN_HOUR_NS
        self._state.adopt(self._shadow.load(self._path, deadline_ns=deadline_ns, seal=self._written.seal))

    def _read(self, piece: int) -> None:
        """Reads the blocks of the file into the shadow, each thread the next piece, and verifies nothing."""
        (view,) = views_of(self._shadow.arena)
        descriptor = os.open(self._path, os.O_RDONLY)
        pieces = iter(range(0, len(view), piece))
        try:
            for done in [self._readers.submit(_read_pieces, descriptor, view, pieces, piece) for _ in range(THREADS)]:
                done.result()
        finally:
            os.close(descriptor)

    def against_read(self) -> tuple[str, Paired]:
        """The fastest bare read, and its time over that of the restore."""
        limit = min((way for way in self.ways if way.startswith("read")), key=self.milliseconds)
        return limit, self.against(limit)

    def against(self, way: str) -> Paired:
        """The time of another way over that of the restore."""
        return paired_ratio(self._times[way], self._times["restore"])

    def milliseconds(self, way: str) -> float:
        """The median time of one way."""
        return median(self._times[way]) / 1e6

    def close(self) -> None:
        """Ends the threads."""
        self._readers.shutdown()
        self._shadow.close()


def _read_pieces(descriptor: int, view: memoryview, pieces: Iterator[int], piece: int) -> None:
    for at in pieces:
        target, done = view[at : at + piece], 0
        while done < len(target):  # one call gives 2 GB at most
            done += os.preadv(descriptor, [target[done:]], PAGE + at + done)


def _give_memory_back() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc; other allocators keep less
    if trim is not None:
        trim(0)


class _Peer:
    """The way everybody takes: torch.load, then load_state_dict of model and optimizer, with two threads.

    A training restores once in a long while, into memory that its process has to get first. So what the C library kept
    of the round before is given back; otherwise only the first round would measure that.
    """

    def __init__(self, subject: Subject, path: Path) -> None:
        self._path = path
        self._model, self._optimizer = subject.peer()
        torch.save({"model": self._model.state_dict(), "optimizer": self._optimizer.state_dict()}, path)

    def load(self) -> None:
        """Restores the whole state of the peer."""
        before = torch.get_num_threads()
        torch.set_num_threads(THREADS)
        try:
            content = import_torch(self._path)
            self._model.load_state_dict(content["model"])
            self._optimizer.load_state_dict(content["optimizer"])
        finally:
            torch.set_num_threads(before)
