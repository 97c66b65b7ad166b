import pytest
import torch

from harness.controlloop.ring import Ring
from harness.controlloop.snapshot import RestoreFailed
from harness.controlloop.trainer import Trainer
from tests.controlloop.test_snapshot import Breaking
from tests.controlloop.trainings import trainer


def advance(training: Trainer, ring: Ring, *, confirm: bool = True) -> str:
    """Keeps the state, makes a step from it, and gives the hash of what was kept."""
    digest = training.state.digest()
    ring.capture()
    training.step()
    if confirm:
        ring.confirm()
    training.advance()
    return digest


def filled(steps: int, slots: int = 3) -> tuple[Trainer, Ring, list[str]]:
    training = trainer()
    ring = Ring(training.state, slots=slots, cap_bytes=None)
    return training, ring, [advance(training, ring) for _ in range(steps)]


def test_only_a_state_from_which_a_healthy_step_was_made_is_restored() -> None:
    training, ring, digests = filled(2)
    advance(training, ring, confirm=False)
    ring.restore("adopt")
    assert training.state.digest() == digests[1]
    assert training.progress.step == 1
    assert [snapshot.step for snapshot in ring.held] == [0, 1]


def test_without_a_good_snapshot_nothing_is_restored() -> None:
    training = trainer()
    ring = Ring(training.state, slots=2, cap_bytes=None)
    advance(training, ring, confirm=False)
    before = training.state.digest()
    with pytest.raises(RestoreFailed, match="no snapshot could be restored"):
        ring.restore("adopt")
    assert training.state.digest() == before


def test_the_oldest_makes_room_but_never_the_newest_good_one() -> None:
    training, ring, digests = filled(5, slots=3)
    assert [snapshot.step for snapshot in ring.held] == [2, 3, 4]
    for _ in range(3):
        advance(training, ring, confirm=False)
    assert [snapshot.step for snapshot in ring.held] == [4, 6, 7]
    ring.restore("copy")
    assert training.state.digest() == digests[4]


def test_until_it_is_armed_again_a_second_fault_takes_the_next_older_one() -> None:
    training, ring, digests = filled(3)
    ring.restore("adopt")
    assert training.state.digest() == digests[2]
    ring.restore("adopt")
    assert training.state.digest() == digests[1]
    assert training.progress.step == 1
    ring.restore("adopt")
    assert training.state.digest() == digests[0]
    with pytest.raises(RestoreFailed):
        ring.restore("adopt")


def test_armed_again_the_same_snapshot_serves_again() -> None:
    training, ring, digests = filled(3)
    for _ in range(4):
        ring.restore("adopt")
        assert ring.rearm()
        assert not ring.rearm()
        training.step()
        assert training.state.digest() != digests[2]
    ring.restore("adopt")
    assert training.state.digest() == digests[2]


def test_a_copy_leaves_the_snapshot_armed_and_the_addresses_as_they_are() -> None:
    training, ring, digests = filled(2)
    addresses = [tensor.data_ptr() for tensor in training.state.live.tensors]
    ring.restore("copy")
    assert ring.unarmed is None
    assert [tensor.data_ptr() for tensor in training.state.live.tensors] == addresses
    assert training.state.digest() == digests[1]


def test_where_one_cannot_be_restored_the_next_older_is() -> None:
    training = trainer()
    training.state.parts["broken"] = Breaking(1)
    ring = Ring(training.state, slots=3, cap_bytes=None)
    digests = [advance(training, ring) for _ in range(3)]
    snapshot, _ = ring.restore("adopt")
    assert (snapshot.step, training.state.digest()) == (1, digests[1])


def test_where_none_can_be_restored_every_reason_is_named() -> None:
    training = trainer()
    training.state.parts["broken"] = Breaking(9)
    ring = Ring(training.state, slots=2, cap_bytes=None)
    for _ in range(2):
        advance(training, ring)
    with pytest.raises(RestoreFailed, match="step 1: the part is broken; step 0: the part is broken"):
        ring.restore("adopt")


@pytest.mark.parametrize(("room", "slots"), [(10.0, 4), (3.5, 3), (2.0, 2), (1.9, 0), (0.5, 0)])
def test_the_cap_holds_and_a_state_larger_than_it_is_not_stored(room: float, slots: int) -> None:
    training = trainer()
    cap = int(room * training.state.bytes)
    ring = Ring(training.state, slots=4, cap_bytes=cap)
    assert ring.slots == slots
    assert ring.bytes <= cap
    assert (ring.capture() is None) == (slots == 0)


def test_a_failed_capture_costs_no_slot() -> None:
    training, ring, _ = filled(2, slots=2)
    training.optimizer.state[training.optimizer.param_groups[0]["params"][0]]["exp_avg"] = torch.zeros(1)
    for _ in range(5):
        with pytest.raises(Exception, match="left the arena"):
            ring.capture()
    ring.restore("copy")


def test_clearing_forgets_the_snapshots_and_keeps_the_memory() -> None:
    training, ring, _ = filled(3)
    ring.clear()
    assert ring.held == ()
    assert ring.newest_good() is None
    advance(training, ring)
    ring.restore("adopt")


def test_the_time_of_a_restore_is_that_from_choice_to_state() -> None:
    _, ring, _ = filled(1)
    _, nanoseconds = ring.restore("adopt")
    assert nanoseconds > 0
