"""Each known shortcut of a rollback, put back on purpose: every one of them must be caught by a check of ours.

The shortcuts are those that made earlier published figures worthless: restores that restore nothing, snapshots of the
bad state, snapshots that forget half of it or that training writes into, restores that stop half-way.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch

from harness.controlloop.loop import ControlLoop
from harness.controlloop.reference import identical
from harness.controlloop.ring import Ring
from harness.controlloop.rollback import Restored, Rollback
from harness.controlloop.snapshot import RestoreFailed, Snapshot, TrainingState
from harness.controlloop.trainer import Trainer
from harness.errors import BenchmarkFailed
from tests.controlloop.test_loop import reference
from tests.controlloop.test_snapshot import Breaking, spoil
from tests.controlloop.trainings import EPOCHS, STEPS, Told, loop, trainer


def diverged(control: ControlLoop, expected: list[float]) -> int:
    """How many losses after the restore differ; the scenario's rule allows none."""
    losses = control.run()
    since = min(done.to_step for done in control.rollback.restored)
    return len(expected) - since - identical(losses[since:], expected[since:])


def test_the_honest_restore_passes_the_checks_that_catch_the_others() -> None:
    training = trainer()
    expected = reference(training)
    control = loop(training, Told(), kind="late_step", expected=expected.digests)
    assert diverged(control, expected.losses) == 0


# A constant restore: a figure for work that was never done.


def restores_nothing(state: TrainingState, snapshot: Snapshot) -> None:
    """Takes no time and changes nothing."""


def test_a_restore_that_restores_nothing_is_caught_by_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    training, told = trainer(), Told()
    expected = reference(training)
    monkeypatch.setattr(TrainingState, "adopt", restores_nothing)
    control = loop(training, told, kind="late_step", expected=expected.digests)
    with pytest.raises(RestoreFailed, match="hash"):
        control.run()
    assert len(told.named("tolaria.rollback.restore_failed")) == 1
    assert "tolaria.rollback.restore_latency_ms" not in told.samples


def test_a_restore_that_restores_nothing_is_caught_by_the_losses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    training = trainer()
    expected = reference(training)
    monkeypatch.setattr(TrainingState, "adopt", restores_nothing)
    assert diverged(loop(training, Told(), kind="late_step"), expected.losses) > 0


def test_a_restore_that_only_rewinds_the_counters_is_caught_by_the_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    def counters_only(state: TrainingState, snapshot: Snapshot) -> None:
        for call, value in snapshot.calls:
            call(value)

    training = trainer()
    expected = reference(training)
    monkeypatch.setattr(TrainingState, "adopt", counters_only)
    assert diverged(loop(training, Told(), kind="late_step"), expected.losses) > 0


# An empty packet as a sample: a mean over the epochs and one 0.0.


def test_a_packet_at_the_end_of_training_would_be_one_sample_too_many() -> None:
    def with_completion_packet(told: Told) -> None:
        for name in ("latency_ms", "loss", "accuracy"):
            told.record(f"tolaria.training.{name}", 0.0)

    honest, mutant = Told(), Told()
    for told in (honest, mutant):
        control = loop(trainer(), told)
        control.run()
        if told is mutant:
            with_completion_packet(told)
        epochs = control.counters()["tolaria.epochs.total"]
        latencies = told.samples["tolaria.training.latency_ms"]
        caught = len(latencies) != epochs or min(latencies) <= 0  # the second is the rule of the scenario's envelope
        assert caught is (told is mutant)


# Trap 1: the snapshot is taken after the bad step too, and the restore asks for the nearest one.


class NearestSnapshot(Rollback):
    """Captures the state as the failed step left it, calls it good, and goes back to it."""

    def restore(self, reason: str, before: str) -> Restored:
        self.tiers.capture()
        self.tiers.confirm()
        return super().restore(reason, before)


def test_going_back_to_the_state_that_the_bad_step_left_is_caught_by_the_hash() -> None:
    training = trainer()
    expected = reference(training)
    control = loop(training, Told(), kind="late_step", expected=expected.digests, rollback=NearestSnapshot)
    with pytest.raises(RestoreFailed, match="hash"):
        control.run()


def test_going_back_to_the_state_that_the_bad_step_left_is_caught_by_the_losses() -> None:
    training = trainer()
    expected = reference(training)
    control = loop(training, Told(), kind="late_step", rollback=NearestSnapshot)
    assert diverged(control, expected.losses) > 0


def test_going_back_to_a_state_of_nans_never_recovers() -> None:
    with pytest.raises(BenchmarkFailed, match="after 3 restores"):
        loop(trainer(), Told(), kind="nan_loss", rollback=NearestSnapshot).run()


def test_an_unconfirmed_snapshot_is_never_what_a_restore_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def restored_step() -> int:
        training = trainer()
        ring = Ring(training.state, slots=3, cap_bytes=None)
        ring.capture()
        training.step()
        ring.confirm()
        training.advance()
        ring.capture()
        return ring.restore("adopt")[0].step

    assert restored_step() == 0
    monkeypatch.setattr(Ring, "newest_good", lambda ring: ring.held[-1])
    assert restored_step() == 1


# Trap 2: snapshots that leave out generators, loader position, learning rate, loss scale or progress.


@pytest.mark.parametrize("forgotten", ["rng.torch", "loader", "groups"])
def test_a_snapshot_that_forgets_a_part_is_caught_by_the_losses(forgotten: str) -> None:
    training = trainer()
    expected = reference(training)
    control = loop(training, Told(), kind="late_step", expected=expected.digests)  # the tensors alone are right
    del training.state.parts[forgotten]
    assert diverged(control, expected.losses) > 0


def test_a_snapshot_that_forgets_the_progress_is_caught_by_the_losses() -> None:
    training = trainer()
    expected = reference(training)
    control = loop(training, Told(), kind="late_step")
    del training.state.parts["progress"]
    assert diverged(control, expected.losses) > 0


@pytest.mark.parametrize(
    ("forgotten", "draw"), [("rng.python", random.random), ("rng.numpy", numpy.random.random)], ids=["python", "numpy"]
)
def test_a_snapshot_that_forgets_a_generator_is_caught_by_what_it_draws(
    forgotten: str, draw: Callable[[], float]
) -> None:
    def same_after_restore(training: Trainer) -> bool:
        snapshot = training.state.capture(training.state.new_arena())
        expected = [draw() for _ in range(3)]
        training.state.adopt(snapshot)
        return [draw() for _ in range(3)] == expected

    assert same_after_restore(trainer())
    training = trainer()
    del training.state.parts[forgotten]
    assert not same_after_restore(training)


# Trap 3: the snapshot's tensors are the ones that training writes into.


def aliasing_state(training: Trainer) -> Callable[[], None]:
    """A snapshot by `state_dict`, and its restore by `load_state_dict`, as one writes it down first."""
    saved: dict[str, Any] = training.optimizer.state_dict()
    return lambda: training.optimizer.load_state_dict(saved)


def optimizer_hash(training: Trainer) -> str:
    values = [value for values in training.optimizer.state.values() for value in values.values()]
    return str([value.tolist() for value in values if isinstance(value, torch.Tensor)])


def test_a_snapshot_that_training_writes_into_is_caught_by_restoring_it_twice() -> None:
    def same_twice(training: Trainer, restore: Callable[[], object]) -> bool:
        found = []
        for _ in range(2):
            spoil(training)
            restore()
            found.append(optimizer_hash(training))
        return found[0] == found[1]

    training = trainer()
    spoil(training)
    snapshot = training.state.capture(training.state.new_arena())
    assert same_twice(training, lambda: training.state.copy_back(snapshot))

    training = trainer()
    spoil(training)
    assert not same_twice(training, aliasing_state(training))


def test_an_aliasing_restore_inside_the_loop_is_caught_at_the_next_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    training = trainer()
    restore = aliasing_state(training)

    def aliasing_adopt(state: TrainingState, snapshot: Snapshot) -> None:
        original(state, snapshot)
        restore()

    original = TrainingState.adopt
    monkeypatch.setattr(TrainingState, "adopt", aliasing_adopt)
    with pytest.raises(BenchmarkFailed, match="left the arena"):
        loop(training, Told(), kind="late_step").run()


def test_adopting_without_arming_again_gives_the_same_memory_to_two_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring that forgets that adopting consumes a slot restores, the second time, what training made of it."""

    def restored_twice() -> tuple[str, str]:
        training = trainer()
        ring = Ring(training.state, slots=2, cap_bytes=None)
        ring.capture()
        training.step()
        ring.confirm()
        found = []
        for _ in range(2):
            ring.restore("adopt")
            found.append(training.state.digest())
            ring.rearm()
            training.step()
        return found[0], found[1]

    first, second = restored_twice()
    assert first == second

    def pretend(ring: Ring) -> bool:
        ring.held[-1].armed = True
        return True

    monkeypatch.setattr(Ring, "rearm", pretend)
    first, second = restored_twice()
    assert first != second


# Trap 4: restores that stop half-way, fall through to nothing, ignore deadlines, or count every miss as one missed.


def half_way(state: TrainingState, snapshot: Snapshot) -> None:
    """Loads the tensors, then the parts; where a part fails, the tensors stay loaded."""
    for call, value in [*snapshot.exchange, *snapshot.calls]:
        call(value)


@pytest.mark.parametrize(("restore", "atomic"), [(TrainingState.adopt, True), (half_way, False)])
def test_a_restore_that_stops_half_way_is_caught_by_the_hash(
    restore: Callable[[TrainingState, Snapshot], None], atomic: bool
) -> None:
    training = trainer()
    training.state.parts["broken"] = Breaking(1)
    snapshot = training.state.capture(training.state.new_arena())
    spoil(training)
    before = training.state.digest()
    with pytest.raises(OSError, match="the part is broken"):
        restore(training.state, snapshot)
    assert (training.state.digest() == before) is atomic


def test_a_failing_newest_snapshot_falls_through_and_training_still_goes_on_alike() -> None:
    training = trainer()
    expected = reference(training)
    training.state.parts["broken"] = Breaking(1)
    control = loop(training, Told(), kind="late_step", expected=expected.digests)
    assert control.run() == expected.losses
    assert [done.to_step for done in control.rollback.restored] == [6]
    assert len(expected.losses) == EPOCHS * STEPS
