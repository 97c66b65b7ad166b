import pytest
import torch

from harness.controlloop.batches import Batches
from harness.errors import ConfigError
from tests.controlloop.trainings import vectors


def taken(batches: Batches, count: int) -> list[list[float]]:
    return [batches.take()[0].flatten().tolist() for _ in range(count)]


def test_a_pass_reads_every_training_row_once_and_no_held_out_row() -> None:
    data = vectors()
    batches = Batches(data, size=64, seed=1)
    rows = {tuple(row) for batch in (batches.take()[0] for _ in range(7)) for row in batch.tolist()}
    everything, _ = data.gather(torch.arange(448))
    assert rows == {tuple(row) for row in everything.tolist()}


def test_another_pass_has_another_order() -> None:
    batches = Batches(vectors(), size=448, seed=1)
    assert taken(batches, 1) != taken(batches, 1)


def test_the_order_is_that_of_the_seed_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    assert taken(Batches(vectors(), size=64, seed=1), 9) == taken(Batches(vectors(), size=64, seed=1), 9)
    assert taken(Batches(vectors(), size=64, seed=1), 1) != taken(Batches(vectors(), size=64, seed=2), 1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("read_before", [0, 3, 6, 7, 20])
def test_after_going_back_the_same_batches_come_again_also_across_passes(read_before: int) -> None:
    batches = Batches(vectors(), size=64, seed=1)
    taken(batches, read_before)
    calls = list(batches.calls(batches.state()))
    expected = taken(batches, 10)
    for _ in range(3):
        for call, value in calls:
            call(value)
        assert taken(batches, 10) == expected


def test_two_integers_are_enough_to_find_the_position_in_another_process() -> None:
    batches = Batches(vectors(), size=64, seed=1)
    taken(batches, 10)
    passes, cursor, order = batches.state()
    other = Batches(vectors(), size=64, seed=1)
    taken(other, 7 * passes + cursor // 64)
    assert other.state()[:2] == (passes, cursor)
    assert torch.equal(other.state().order, order)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"trainer.batch_size: should be at most the 448 rows .* found 449"):
        Batches(vectors(), size=449, seed=1)
