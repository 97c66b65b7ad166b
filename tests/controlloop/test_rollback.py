from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.controlloop.disktier.disk import CheckpointSettings, Disk
from harness.controlloop.rollback import Rollback, SnapshotSettings
from harness.controlloop.snapshot import RestoreFailed
from harness.controlloop.trainer import Trainer
from tests.controlloop.trainings import RESTORE, SNAPSHOTS, Told, trainer


def one_good(training: Trainer, rollback: Rollback) -> str:
    """A snapshot of the first state, a healthy step, then a bad one; gives the first state's hash."""
    good = training.state.digest()
    rollback.keep()
    training.step()
    rollback.confirm()
    training.advance()
    training.step()
    return good


@pytest.mark.parametrize("method", ["adopt", "copy"])
def test_the_event_carries_the_hashes_before_after_the_fault_and_after_the_restore(method: str) -> None:
    training, told = trainer(), Told()
    rollback = Rollback(training.state, SNAPSHOTS, replace(RESTORE, method=method), told)  # type: ignore[arg-type]
    good = one_good(training, rollback)
    bad = training.state.digest()
    done = rollback.restore("deadline", before="hash before")
    (event,) = told.named("tolaria.rollback.restored")
    assert (event["hash_before"], event["hash_bad"], event["hash_restored"]) == ("hash before", bad, good)
    assert (event["reason"], event["method"], event["tier"]) == ("deadline", method, "memory")
    assert (done.from_step, done.to_step) == (1, 0)
    assert event["bytes"] == training.state.bytes
    assert told.samples["tolaria.rollback.restore_latency_ms"] == [done.latency_ms]


def test_a_restore_over_its_deadline_is_counted_and_one_within_it_is_not() -> None:
    class Slow:
        def state(self) -> int:
            return 200_000

        def calls(self, state: int) -> Iterable[tuple[Callable[[Any], object], Any]]:
            return [(lambda count: sum(range(count)), state)]

    for deadline_ms, exceeded in ((0.001, 1), (10_000.0, 0)):
        training = trainer()
        training.state.parts["slow"] = Slow()
        rollback = Rollback(training.state, SNAPSHOTS, replace(RESTORE, deadline_ms=deadline_ms), Told())
        one_good(training, rollback)
        rollback.restore("deadline", "")
        assert rollback.counters()["tolaria.rollback.deadline_exceeded_total"] == exceeded


def test_a_miss_is_a_miss_and_no_missed_deadline() -> None:
    training, told = trainer(), Told()
    rollback = Rollback(training.state, SNAPSHOTS, RESTORE, told)
    with pytest.raises(RestoreFailed):
        rollback.restore("deadline", "")
    counters = rollback.counters()
    assert counters["tolaria.rollback.fast_misses_total"] == counters["tolaria.rollback.failures_total"] == 1
    assert counters["tolaria.rollback.deadline_exceeded_total"] == 0
    assert len(told.named("tolaria.rollback.restore_failed")) == 1
    assert "tolaria.rollback.restore_latency_ms" not in told.samples


def test_a_state_too_large_for_the_cap_is_never_kept() -> None:
    training = trainer()
    settings = SnapshotSettings(every=1, slots=3, cap_mb=training.state.bytes / 2**20 / 2)
    rollback = Rollback(training.state, settings, RESTORE, Told())
    with pytest.raises(RestoreFailed):
        one_good(training, rollback) and rollback.restore("deadline", "")
    assert rollback.counters()["tolaria.rollback.snapshots_total"] == 0
    assert rollback.counters()["tolaria.rollback.fast_size_bytes"] == 0


def test_a_restored_state_that_is_not_the_expected_one_is_a_failure() -> None:
    training, told = trainer(), Told()
    rollback = Rollback(training.state, SNAPSHOTS, RESTORE, told, expected=lambda step: "the hash of another state")
    one_good(training, rollback)
    with pytest.raises(RestoreFailed, match="step 0 to the hash of another state"):
        rollback.restore("deadline", "")
    assert rollback.counters()["tolaria.rollback.restores_total"] == 0
    assert len(told.named("tolaria.rollback.restore_failed")) == 1


def test_snapshots_are_kept_at_the_cadence_asked_for() -> None:
    training, told = trainer(), Told()
    rollback = Rollback(training.state, SNAPSHOTS, RESTORE, told)
    for _ in range(7):
        rollback.keep()
        training.step()
        rollback.confirm()
        training.advance()
    assert [snapshot.step for snapshot in rollback.tiers.ring.held] == [0, 3, 6]
    assert len(told.samples["tolaria.rollback.snapshot_ms"]) == 3


def test_in_turn_means_memory_then_disk_then_both(tmp_path: Path) -> None:
    training, told = trainer(), Told()
    checkpoints = CheckpointSettings(every=1, keep=2, threads=2, strict=True)
    disk = Disk(training.state, tmp_path, checkpoints, told)
    rollback = Rollback(training.state, SNAPSHOTS, RESTORE, told, disk=disk, in_turn=True)
    first = training.state.capture(training.state.new_arena())
    for _ in range(3):
        training.state.copy_back(first)
        rollback.rewind()
        one_good(training, rollback)
        rollback.restore("deadline", "")
    assert [event["tier"] for event in told.named("tolaria.rollback.restored")] == ["memory", "disk", "memory"]
    assert len(told.samples["tolaria.rollback.full_latency_ms"]) == 1
    assert len(told.samples["tolaria.rollback.fast_latency_ms"]) == 2
    rollback.close()


def test_a_tier_that_failed_is_told_with_its_reason(tmp_path: Path) -> None:
    training, told = trainer(), Told()
    rollback = Rollback(training.state, SNAPSHOTS, RESTORE, told)
    with pytest.raises(RestoreFailed):
        rollback.restore("deadline", "")
    (event,) = told.named("tolaria.rollback.tier_failed")
    assert (event["tier"], event["ended"], event["why"]) == ("memory", "miss", "memory holds no good state")


def test_arming_again_is_its_own_metric() -> None:
    training, told = trainer(), Told()
    rollback = Rollback(training.state, SNAPSHOTS, RESTORE, told)
    one_good(training, rollback)
    rollback.rearm()
    assert "tolaria.rollback.rearm_ms" not in told.samples
    rollback.restore("deadline", "")
    rollback.rearm()
    rollback.rearm()
    assert len(told.samples["tolaria.rollback.rearm_ms"]) == 1
