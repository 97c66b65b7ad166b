"""Memory first, then the disk, within one deadline; what each tier did is told, and only real lateness is late."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.controlloop.disktier.disk import CheckpointSettings, Disk
from harness.controlloop.ring import Ring
from harness.controlloop.snapshot import RestoreFailed, Snapshot
from harness.controlloop.tiers import Budgets, Tiers, TiersFailed
from harness.controlloop.trainer import Trainer
from tests.controlloop.trainings import Told, trainer

GENEROUS = Budgets(total_ms=60_000.0)
SETTINGS = CheckpointSettings(every=1, keep=3, threads=2, strict=True)


@contextmanager
def tiers_of(
    training: Trainer, folder: Path, *, memory: bool = True, disk: bool = True, budgets: Budgets = GENEROUS
) -> Iterator[Tiers]:
    kept = Disk(training.state, folder, SETTINGS, Told()) if disk else None
    ring = Ring(training.state, slots=3, cap_bytes=None) if memory else None
    try:
        yield Tiers(training.state, ring=ring, disk=kept, budgets=budgets)
    finally:
        if kept is not None:
            kept.close()


def keep(tiers: Tiers) -> None:
    tiers.capture()
    tiers.checkpoint()


def healthy_step(training: Trainer, tiers: Tiers) -> None:
    tiers.rearm()
    training.step()
    tiers.confirm()
    if tiers.disk:
        assert tiers.disk.wait(60)
    training.advance()
    keep(tiers)


def trained(training: Trainer, tiers: Tiers, steps: int) -> list[str]:
    """The hashes of the states before each step, and after the last."""
    hashes = [training.state.digest()]
    keep(tiers)
    for _ in range(steps):
        healthy_step(training, tiers)
        hashes.append(training.state.digest())
    return hashes


def ended(tiers: Tiers) -> list[tuple[str, str, str | None]]:
    return [(attempt.tier, attempt.ended, attempt.deadline) for attempt in tiers.attempts]


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("method", ["adopt", "copy"])
def test_the_last_good_state_comes_back_from_the_first_tier_that_has_it(
    tmp_path: Path, method: Any, memory: bool
) -> None:
    training = trainer()
    with tiers_of(training, tmp_path, memory=memory) as tiers:
        hashes = trained(training, tiers, 4)
        training.step()  # bad
        snapshot, latency_ns = tiers.restore(method)
        assert (snapshot.step, training.progress.step) == (3, 3)
        assert training.state.digest() == hashes[3]
        assert latency_ns > 0
        assert ended(tiers) == [("memory" if memory else "disk", "hit", None)]
        healthy_step(training, tiers)
        assert training.state.digest() == hashes[4]


def test_a_failure_in_memory_falls_through_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap: the fast tier fails, and nothing tries the other one."""
    training = trainer()
    with tiers_of(training, tmp_path) as tiers:
        hashes = trained(training, tiers, 3)
        assert tiers.ring is not None
        monkeypatch.setattr(tiers.ring, "restore", raises)
        training.step()
        snapshot, _ = tiers.restore("adopt")
        assert (snapshot.step, training.state.digest()) == (2, hashes[2])
        assert ended(tiers) == [("memory", "failed", None), ("disk", "hit", None)]
        counters = tiers.counters()
        assert counters["tolaria.rollback.fast_failures_total"] == 1
        assert counters["tolaria.rollback.full_hits_total"] == 1
        assert counters["tolaria.rollback.deadline_exceeded_total"] == 0
        monkeypatch.undo()
        for step in (3, 4):  # training goes on, and memory serves again
            healthy_step(training, tiers)
            hashes.append(training.state.digest()) if step == 4 else None
            assert training.state.digest() == hashes[step]
        training.step()
        assert tiers.restore("adopt")[0].step == 3
        assert ended(tiers) == [("memory", "hit", None)]


def raises(method: str) -> tuple[Snapshot, int]:
    raise RestoreFailed("planned")


def test_a_state_from_the_disk_is_in_memory_again_before_the_next_step(tmp_path: Path) -> None:
    training = trainer()
    with tiers_of(training, tmp_path) as tiers:
        hashes = trained(training, tiers, 3)
        assert tiers.ring is not None
        tiers.ring.clear()
        training.step()
        assert tiers.restore("adopt")[0].step == 2
        assert tiers.newest_good() is None
        assert tiers.rearm()
        assert not tiers.rearm()
        training.step()
        assert tiers.restore("adopt")[0].step == 2
        assert ended(tiers) == [("memory", "hit", None)]
        assert training.state.digest() == hashes[2]


def test_nothing_to_restore_is_a_miss_and_no_deadline(tmp_path: Path) -> None:
    """The trap: every miss was counted as a deadline exceeded."""
    training = trainer()
    with tiers_of(training, tmp_path) as tiers:
        with pytest.raises(TiersFailed, match="memory holds no good state; disk: miss, no checkpoint was") as raised:
            tiers.restore("adopt")
        assert not raised.value.late
        counters = tiers.counters()
        assert counters["tolaria.rollback.fast_misses_total"] == 1
        assert counters["tolaria.rollback.full_misses_total"] == 1
        assert counters["tolaria.rollback.deadline_exceeded_total"] == 0


@pytest.mark.parametrize(
    ("budgets", "which"),
    [(Budgets(total_ms=1e-3), "total"), (Budgets(total_ms=60_000.0, disk_ms=1e-3), "disk")],
)
def test_a_disk_that_is_really_too_slow_for_its_deadline_leaves_the_live_state_alone(
    tmp_path: Path, budgets: Budgets, which: str
) -> None:
    training = trainer()
    with tiers_of(training, tmp_path, memory=False, budgets=budgets) as tiers:
        trained(training, tiers, 2)
        training.step()
        live = training.state.digest()
        with pytest.raises(TiersFailed) as raised:
            tiers.restore("adopt")
        assert raised.value.late
        assert training.state.digest() == live
        assert ended(tiers) == [("disk", "late", which)]
        assert tiers.counters()["tolaria.rollback.deadline_exceeded_total"] == 1


def test_one_deadline_covers_both_tiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = trainer()
    with tiers_of(training, tmp_path, budgets=Budgets(total_ms=20.0)) as tiers:
        trained(training, tiers, 2)
        assert tiers.ring is not None

        def slow_and_useless(method: str) -> tuple[Snapshot, int]:
            until = time.perf_counter_ns() + 25_000_000
            while time.perf_counter_ns() < until:
                training.state.digest()
            raise RestoreFailed("planned")

        monkeypatch.setattr(tiers.ring, "restore", slow_and_useless)
        with pytest.raises(TiersFailed) as raised:
            tiers.restore("adopt")
        assert raised.value.late
        assert ended(tiers) == [("memory", "failed", None), ("disk", "late", "total")]
        assert tiers.attempts[0].latency_ms >= 25
        assert tiers.counters()["tolaria.rollback.deadline_exceeded_total"] == 1


def test_a_restore_from_memory_that_comes_too_late_is_in_place_and_counts(tmp_path: Path) -> None:
    training = trainer()
    with tiers_of(training, tmp_path, disk=False, budgets=Budgets(total_ms=60_000.0, memory_ms=1e-6)) as tiers:
        hashes = trained(training, tiers, 2)
        training.step()
        assert tiers.restore("adopt")[0].step == 1
        assert training.state.digest() == hashes[1]
        assert ended(tiers) == [("memory", "hit", "memory")]
        assert tiers.counters()["tolaria.rollback.deadline_exceeded_total"] == 1


def test_the_state_that_the_failed_step_began_from_is_not_committed_behind_the_rollback(tmp_path: Path) -> None:
    training = trainer()
    with tiers_of(training, tmp_path) as tiers:
        trained(training, tiers, 3)
        training.step()  # from step 3, which nobody has trained from
        tiers.restore("adopt")
        assert tiers.disk is not None
        assert tiers.disk.wait(60)
        assert [target.transaction.step for target in tiers.disk.targets] == [0, 1, 2]


def test_going_back_further_than_a_checkpoint_drops_it(tmp_path: Path) -> None:
    training = trainer()
    with tiers_of(training, tmp_path) as tiers:
        trained(training, tiers, 3)
        assert tiers.ring is not None
        assert tiers.disk is not None
        newest = tiers.ring.newest_good()
        assert newest is not None
        newest.armed = False  # given away, as by a restore before
        tiers.restore("adopt")
        assert training.progress.step == 1
        assert [target.transaction.step for target in tiers.disk.targets] == [0, 1]


def test_the_next_training_never_gets_a_state_of_the_one_before(tmp_path: Path) -> None:
    training = trainer()
    with tiers_of(training, tmp_path) as tiers:
        trained(training, tiers, 3)
        tiers.clear()
        with pytest.raises(TiersFailed):
            tiers.restore("adopt")
        assert set(tiers.counters().values()) <= {0, 1}


def test_without_any_tier_the_message_says_so(tmp_path: Path) -> None:
    training = trainer()
    with (
        tiers_of(training, tmp_path, memory=False, disk=False) as tiers,
        pytest.raises(TiersFailed, match="there is none"),
    ):
        tiers.restore("copy")
    assert tiers.bytes == 0
