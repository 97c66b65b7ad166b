"""How fast a restore is against the fastest copy or read of the same bytes, and whether training goes on alike."""

import ctypes
import os
import random
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Annotated

import torch

from harness.controlloop.arena import Arena
from harness.controlloop.data import Source
from harness.controlloop.device import usable
from harness.controlloop.reference import Reference, identical, packed, undisturbed
from harness.controlloop.ring import Method, Ring
from harness.controlloop.trainer import ModelFactory, Trainer, TrainerSettings
from harness.errors import BenchmarkFailed, Cancelled, DeviceUnavailable
from harness.measure.paired import Paired, paired_ratio
from harness.measure.stats import percentile
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.bench.restore_full import measure_full
from harness.scenarios.bench.restore_subject import Size, Subject, bad_step
from harness.scenarios.settings import settled

_KINDS = ("adopt", "copy", "second_fault")


class RestoreCost:
    """One iteration measures every size and every kind of restore, each against its limit in interleaved rounds."""

    def __init__(
        self,
        *,
        model: ModelFactory,
        data: Source,
        trainer: TrainerSettings,
        tensors: Annotated[int, Range(min=8)],
        sizes: Sequence[Size],
        hash_every: Annotated[int, Range(min=1)],
        step_every: Annotated[int, Range(min=1)],
        losses: Annotated[int, Range(min=1)],
    ) -> None:
        self._model, self._data, self._settings = model, data, settled(TrainerSettings, trainer)
        self._tensors, self._sizes = tensors, [settled(Size, size) for size in sizes]
        self._hash_every, self._step_every, self._losses = hash_every, step_every, losses

    def setup(self, context: Context) -> None:
        """Checks the device: adopting and memcpy are timed on the host."""
        self._device = usable(context.device)
        if self._device.type != "cpu":
            raise DeviceUnavailable(
                f"device={context.device}: bench_restore holds adopting against copies on the host", "use device=cpu"
            )

    def iterate(self, context: Context) -> None:
        """All sizes, then all kinds of restores."""
        adoptions = [self._measure_size(context, size) for size in self._sizes]
        for microseconds in max(adoptions, key=lambda values: percentile(sorted(values), 0.99)):
            context.record("bench.restore.adopt_us", microseconds)
        self._compare_losses(context)

    def _measure_size(self, context: Context, size: Size) -> list[float]:
        subject = Subject(size, self._tensors, self._settings, seed=context.seed, device=self._device)
        adoptions = self._adopt(context, size, subject)
        copies = Copies(subject, self._hash_every)
        for _ in range(size.rounds):
            _go_on(context)
            copies.round()
        limit, ratio = copies.ratio()
        if ratio.low is None or ratio.high is None:
            raise BenchmarkFailed(f"sizes.rounds should be enough for an interval. Found {size.rounds}.")
        context.record_interval("bench.restore.copy_vs_memcpy", ratio.estimate, ratio.low, ratio.high)
        context.record(f"bench.restore.copy_ms.{size.label}", copies.whole_ms())
        context.event(
            "bench.restore.size",
            size=size.label,
            state_bytes=subject.state.bytes,
            tensors=self._tensors,
            hash_good=subject.good[0],
            hashes_compared=copies.compared + len(range(0, size.adoptions, self._hash_every)),
            fastest_memcpy=limit,
            memcpy_us=round(copies.microseconds(limit), 3),
            copy_us=round(copies.microseconds("restore"), 3),
        )
        if size.full_rounds is not None:
            measure_full(context, subject, size.label, size.full_rounds, lambda: _go_on(context))
        return adoptions

    def _adopt(self, context: Context, size: Size, subject: Subject) -> list[float]:
        """Every adoption starts with the caches that the copy before it, or a training step, has left: cold ones."""
        found: list[float] = []
        for index in range(size.adoptions):
            _go_on(context)
            checked = index % self._hash_every == 0
            subject.disturb(draw_from_numpy=checked)
            if index % self._step_every == 0:
                subject.step()
            if checked and subject.fingerprint()[0] == subject.good[0]:
                raise BenchmarkFailed("the disturbance left the state as it was: a restore would prove nothing")
            _fresh_slice()
            microseconds = subject.restore("adopt") / 1e3
            if checked:
                context.record("bench.restore.adopt_numpy_us", microseconds)
            else:
                found.append(microseconds)
                context.record(f"bench.restore.adopt_us.{size.label}", microseconds)
            if checked and subject.fingerprint() != subject.good:
                raise BenchmarkFailed(f"adopting at {size.label} did not bring the good state back")
            started = time.perf_counter_ns()
            subject.ring.rearm()
            context.record(f"bench.restore.rearm_ms.{size.label}", (time.perf_counter_ns() - started) / 1e6)
        return found

    def _compare_losses(self, context: Context) -> None:
        """Counts the losses that are the same bits as those of a training in which nothing was ever restored."""
        before, every = 20, 5
        trainer = Trainer(
            self._model,
            self._data.load(context.seed),
            self._settings,
            epochs=1,
            steps_per_epoch=before + self._losses,
            seed=context.seed,
            device=self._device,
            run_id=context.folder.name,
        )
        first = trainer.state.capture(trainer.state.new_arena())
        reference = undisturbed(trainer, trainer.total_steps)
        context.fingerprint(packed(reference.losses))
        for kind in _KINDS:
            _go_on(context)
            trainer.state.copy_back(first)
            resumption = _Resumption(trainer, reference, before, every)
            same = resumption.run(kind)
            context.record("bench.restore.identical_losses", same)
            context.event("bench.restore.resumed", kind=kind, identical_losses=same, **resumption.evidence)

    def teardown(self) -> None:
        """Nothing outlives the process."""


class _Resumption:
    """A training that is disturbed at step `before`, restored, and run to its end."""

    def __init__(self, trainer: Trainer, reference: Reference, before: int, every: int) -> None:
        self._trainer, self._reference = trainer, reference
        self._ring = Ring(trainer.state, slots=4, cap_bytes=None)
        self._before, self._every = before, every
        self.evidence: dict[str, str | int] = {}

    def run(self, kind: str) -> int:
        """How many losses after the restore are those of the reference."""
        self._train_until(self._before)
        bad_step(self._trainer)
        self.evidence["hash_bad"] = self._trainer.state.digest()
        method: Method = "copy" if kind == "copy" else "adopt"
        snapshot, _ = self._ring.restore(method)
        if kind == "second_fault":
            bad_step(self._trainer)  # before anything was armed again: the next older snapshot has to serve
            self.evidence["hash_bad_again"] = self._trainer.state.digest()
            snapshot, _ = self._ring.restore(method)
        self.evidence |= {"to_step": snapshot.step, "hash_restored": self._trainer.state.digest()}
        if self.evidence["hash_restored"] != self._reference.digests[snapshot.step]:
            return 0
        self._ring.rearm()
        losses = self._train_until(self._trainer.total_steps)
        return identical(losses, self._reference.losses[snapshot.step :])

    def _train_until(self, end: int) -> list[float]:
        losses = []
        while self._trainer.progress.step < end:
            if self._trainer.progress.step % self._every == 0:
                self._ring.capture()
            losses.append(self._trainer.step().loss)
            self._ring.confirm()
            self._trainer.advance()
        return losses


class Copies:
    """Rounds in which the copy restore and several ways of copying the same bytes take turns, in random order.

    All of them copy between the same two blocks of memory, so none finds warmer caches or better aligned pages.
    """

    def __init__(self, subject: Subject, hash_every: int) -> None:
        self._subject, self._hash_every = subject, hash_every
        live, slot = subject.state.live.arena, subject.snapshot.arena
        self._ways: dict[str, Callable[[], object]] = {"restore": lambda: live.copy_from(slot), **_limits(live, slot)}
        self._times: dict[str, list[int]] = {way: [] for way in self._ways}
        self._whole: list[int] = []
        self._order = random.Random(0)
        self._rounds = self.compared = 0

    def round(self) -> None:
        """Each way once; now and then a whole copy restore of a really disturbed state, proved by hashes."""
        for way in self._order.sample(sorted(self._ways), len(self._ways)):
            started = time.perf_counter_ns()
            self._ways[way]()
            self._times[way].append(time.perf_counter_ns() - started)
        if self._rounds % self._hash_every == 0:
            self._prove()
        self._rounds += 1

    def _prove(self) -> None:
        self._subject.disturb()
        if self._subject.fingerprint()[0] == self._subject.good[0]:
            raise BenchmarkFailed("the disturbance left the state as it was: a restore would prove nothing")
        self._whole.append(self._subject.restore("copy"))
        if self._subject.fingerprint() != self._subject.good:
            raise BenchmarkFailed("the copy restore did not bring the good state back")
        self.compared += 1

    def ratio(self) -> tuple[str, Paired]:
        """The fastest other way, and its time over that of the restore."""
        limit = min((way for way in self._times if way != "restore"), key=lambda way: median(self._times[way]))
        return limit, paired_ratio(self._times[limit], self._times["restore"])

    def microseconds(self, way: str) -> float:
        """The median time of one way."""
        return median(self._times[way]) / 1e3

    def whole_ms(self) -> float:
        """The median time of copy restores with generators, loader and learning rate."""
        return median(self._whole) / 1e6


def _limits(live: Arena, slot: Arena) -> dict[str, Callable[[], object]]:
    """The fast ways of copying a block: the C library's, and torch's, which streams past the cache."""
    (to,), (source,) = live.blocks, slot.blocks
    to_words, source_words = to.view(torch.int64), source.view(torch.int64)
    to_address, source_address, size = to.data_ptr(), source.data_ptr(), to.numel()
    return {
        "memcpy": lambda: ctypes.memmove(to_address, source_address, size),
        "torch": lambda: to_words.copy_(source_words),
    }


def _fresh_slice() -> None:
    """Lets whoever waits for this CPU go first, so that it does not take over within the next microseconds."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()


def _go_on(context: Context) -> None:
    if context.cancelled:
        raise Cancelled
