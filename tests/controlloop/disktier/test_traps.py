"""Known mistakes of checkpoints and tiers, put back on purpose: each must be caught by a check of ours."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.controlloop.disktier import checkpoint, flusher
from harness.controlloop.disktier.disk import Disk
from harness.controlloop.disktier.readers import Work
from harness.controlloop.snapshot import RestoreFailed, Snapshot
from harness.controlloop.tiers import Attempt, Budgets, Tiers, TiersFailed
from harness.controlloop.trainer import Trainer
from tests.controlloop.disktier.test_disk import disk_of, healthy_step, load
from tests.controlloop.test_tiers import keep, raises, tiers_of, trained
from tests.controlloop.trainings import trainer


def comes_back_good(training: Trainer, folder: Path) -> bool:
    """Whether a restore after a bad step gives the last state that a healthy step was made from."""
    with disk_of(training, folder) as disk:
        disk.keep()
        healthy_step(training, disk)
        good = training.state.digest()
        healthy_step(training, disk)
        training.step()
        training.step()  # two steps that nobody found healthy: the state is of no step
        disk.abandon("not_finite")
        assert disk.wait(60)
        training.state.adopt(load(disk))
        return training.state.digest() == good


def test_the_honest_disk_gives_the_good_state(tmp_path: Path) -> None:
    assert comes_back_good(trainer(), tmp_path)


def test_committing_what_nobody_found_healthy_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint at every boundary, also of a failed epoch, is the target at once."""
    monkeypatch.setattr(flusher.Pending, "abandoned", False)
    monkeypatch.setattr(flusher.Pending, "wait", lambda pending: setattr(pending, "good", True))
    assert not comes_back_good(trainer(), tmp_path)


@pytest.mark.parametrize("forgotten", ["rng.torch", "loader", "groups", "progress"])
def test_a_checkpoint_that_forgets_a_part_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    packed = checkpoint._pack_index

    def forgets(snapshot: Snapshot, toolchain: Mapping[str, str], start: int, sums: Any) -> bytes:
        snapshot.parts = {name: part for name, part in snapshot.parts.items() if name != forgotten}
        return packed(snapshot, toolchain, start, sums)

    monkeypatch.setattr(checkpoint, "_pack_index", forgets)
    training = trainer()
    with disk_of(training, tmp_path) as disk:
        disk.keep()
        healthy_step(training, disk)
        live = training.state.digest()
        with pytest.raises(RestoreFailed, match=f"differ in their parts: .*{forgotten}"):
            load(disk)
        assert training.state.digest() == live


def test_a_restore_that_does_not_verify_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = trainer()
    with disk_of(training, tmp_path) as disk:
        disk.keep()
        healthy_step(training, disk)
        (target,) = disk.targets
        path = tmp_path / target.transaction.file
        content = bytearray(path.read_bytes())
        content[checkpoint.PAGE + 17] ^= 1
        path.write_bytes(content)
        with pytest.raises(RestoreFailed, match="checksum of the chunk"):
            load(disk)
        monkeypatch.setattr(Work, "_read", reads_without_verifying)
        training.state.adopt(load(disk))
        assert training.state.digest() != target.state  # the evidence of every restore


def reads_without_verifying(work: Work, chunk: checkpoint.Chunk, expected: int) -> None:
    import os

    os.preadv(work._descriptor, [work._blocks[chunk.block][chunk.at : chunk.at + chunk.bytes]], chunk.offset)


def test_a_fast_tier_that_does_not_fall_through_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = trainer()
    with tiers_of(training, tmp_path) as tiers:
        hashes = trained(training, tiers, 2)
        monkeypatch.setattr(tiers.ring, "restore", raises)
        training.step()
        kept, tiers.disk = tiers.disk, None
        with pytest.raises(TiersFailed):
            tiers.restore("adopt")
        tiers.disk = kept
        tiers.restore("adopt")
        assert training.state.digest() == hashes[1]


def test_counting_every_miss_as_late_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_late(tiers: Tiers, attempt: Attempt) -> None:
        tiers.attempts.append(attempt)
        tiers.counts.deadline_exceeded += attempt.ended != "hit"

    with tiers_of(trainer(), tmp_path) as tiers:
        assert late(tiers) == 0
        monkeypatch.setattr(Tiers, "_note", all_late)
        assert late(tiers) != 0


def late(tiers: Tiers) -> float:
    """Deadlines exceeded by a restore where there is nothing to restore and all the time in the world."""
    with pytest.raises(TiersFailed):
        tiers.restore("adopt")
    return tiers.counters()["tolaria.rollback.deadline_exceeded_total"]


def test_a_restore_that_ignores_its_deadline_is_caught(tmp_path: Path) -> None:
    training = trainer()
    with tiers_of(training, tmp_path, memory=False, budgets=Budgets(total_ms=60_000.0, disk_ms=1e-3)) as tiers:
        trained(training, tiers, 1)
        live = training.state.digest()
        with pytest.raises(TiersFailed) as raised:
            tiers.restore("adopt")
        assert raised.value.late
        assert training.state.digest() == live
        tiers.disk = Patient(tiers.disk)  # type: ignore[assignment,arg-type]
        tiers.restore("adopt")
        assert training.state.digest() != live
        assert tiers.attempts[-1].deadline == "disk"  # it came too late, and that is said
        assert tiers.counters()["tolaria.rollback.deadline_exceeded_total"] == 2


class Patient:
    """A disk tier that takes the time it needs."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    def load(self, *, deadline_ns: int) -> Snapshot:
        return self._disk.load(deadline_ns=time.perf_counter_ns() + 60 * 10**9)


def test_a_candidate_in_memory_is_never_restored(tmp_path: Path) -> None:
    """The trap: the state captured after every step, also after the bad one, is the nearest to go back to."""
    training = trainer()
    with tiers_of(training, tmp_path) as tiers:
        hashes = trained(training, tiers, 2)
        training.step()
        keep(tiers)  # under the same step number, as the original did it
        tiers.restore("adopt")
        assert training.state.digest() == hashes[1]
