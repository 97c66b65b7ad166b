import math

from harness.controlloop.reference import identical, packed, undisturbed
from tests.controlloop.trainings import trainer


def test_the_reference_knows_every_loss_and_every_state() -> None:
    training = trainer()
    first = training.state.digest()
    reference = undisturbed(training, 5)
    assert len(reference.losses) == len(reference.latencies_ms) == 5
    assert len(set(reference.digests)) == 6
    assert (reference.digests[0], reference.digests[-1]) == (first, training.state.digest())


def test_losses_are_identical_up_to_the_first_different_bit() -> None:
    assert identical([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 3
    assert identical([1.0, math.nextafter(2.0, 3.0), 3.0], [1.0, 2.0, 3.0]) == 1
    assert identical([0.0], [-0.0]) == 0
    assert identical([math.nan], [math.nan]) == 1
    assert identical([], [1.0]) == 0


def test_packed_losses_keep_every_bit() -> None:
    assert packed([1.0, 0.1]) != packed([1.0, math.nextafter(0.1, 1.0)])
