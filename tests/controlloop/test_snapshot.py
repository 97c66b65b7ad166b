from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch

from harness.controlloop.snapshot import FORMAT, RestoreFailed, Scaler, Snapshot, TrainingState
from harness.controlloop.trainer import Trainer
from harness.errors import BenchmarkFailed
from tests.controlloop.trainings import TRANSFORMER, trainer


def spoil(training: Trainer, steps: int = 3) -> None:
    for _ in range(steps):
        training.step()
        training.advance()


def losses(training: Trainer, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(training.step().loss)
        training.advance()
    return found


class Breaking:
    """A part whose restore fails as often as it is told."""

    def __init__(self, times: int) -> None:
        self.times = times

    def state(self) -> int:
        return 0

    def calls(self, state: int) -> Iterable[tuple[Callable[[Any], object], Any]]:
        return [(self._restore, state)]

    def _restore(self, state: int) -> None:
        if self.times:
            self.times -= 1
            raise OSError("the part is broken")


METHODS = [TrainingState.adopt, TrainingState.copy_back]


@pytest.mark.parametrize("method", METHODS, ids=["adopt", "copy"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("implementation", ["for_loop", "foreach", "fused"])
def test_after_a_restore_the_next_losses_are_the_same_bits(
    method: Callable[[TrainingState, Snapshot], None], optimizer: str, implementation: str
) -> None:
    training = trainer(optimizer=optimizer, implementation=implementation)
    spoil(training)
    snapshot = training.state.capture(training.state.new_arena())
    expected = losses(training, 8)
    method(training.state, snapshot)
    assert training.progress.step == 3
    assert losses(training, 8) == expected


@pytest.mark.parametrize("changes", [{"accumulate": 3}, {"amp": "bf16"}, {"amp": "fp16"}], ids=str)
def test_accumulation_and_mixed_precision_go_on_alike(changes: dict[str, Any]) -> None:
    training = trainer(TRANSFORMER, **changes)
    spoil(training)
    snapshot = training.state.capture(training.state.new_arena())
    expected = losses(training, 4)
    training.state.adopt(snapshot)
    assert losses(training, 4) == expected


def test_the_loss_scale_is_part_of_a_snapshot() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(1))
    part = Scaler(scaler)
    saved = part.state()
    scaler.update(2.0)
    assert scaler.get_scale() == 2.0
    for call, value in part.calls(saved):
        call(value)
    assert scaler.get_scale() == 8.0
    assert list(Scaler(torch.amp.GradScaler("cpu", enabled=False)).calls({})) == []


def test_after_a_step_that_broke_off_between_unscaling_and_updating_the_next_one_works() -> None:
    training = trainer(amp="fp16")
    snapshot = training.state.capture(training.state.new_arena())
    training.backward(training.batches.take())
    training._scaler.unscale_(training.optimizer)
    training.state.adopt(snapshot)
    assert training.step().loss > 0


def test_a_snapshot_names_its_run_format_and_parts() -> None:
    training = trainer()
    spoil(training, 9)
    snapshot = training.state.capture(training.state.new_arena())
    assert (snapshot.run_id, snapshot.format, snapshot.epoch, snapshot.step) == ("run", FORMAT, 1, 9)
    assert list(snapshot.parts) == ["rng.torch", "rng.python", "rng.numpy", "loader", "scaler", "groups", "progress"]


def test_a_thousand_restores_of_one_snapshot_give_one_hash() -> None:
    training = trainer()
    snapshot = training.state.capture(training.state.new_arena())
    wanted = training.state.digest()
    for _ in range(1000):
        with torch.no_grad():
            training.state.live.tensors[0].add_(1)
        training.state.copy_back(snapshot)
        assert training.state.digest() == wanted


def test_adopting_gives_the_memory_away_until_it_is_armed_again() -> None:
    training = trainer()
    snapshot = training.state.capture(training.state.new_arena())
    training.state.adopt(snapshot)
    for method in METHODS:
        with pytest.raises(RestoreFailed, match="its memory was given away"):
            method(training.state, snapshot)


def test_a_snapshot_of_another_training_is_refused_and_nothing_changes() -> None:
    one, other = trainer(), trainer(seed=4)
    snapshot = other.state.capture(other.state.new_arena())
    before = one.state.digest()
    for method in METHODS:
        with pytest.raises(RestoreFailed, match="it belongs to another training"):
            method(one.state, snapshot)
    assert one.state.digest() == before


def test_where_a_part_fails_the_tensors_stay_as_they_were() -> None:
    training = trainer()
    training.state.parts["broken"] = Breaking(1)
    snapshot = training.state.capture(training.state.new_arena())
    spoil(training)
    before = training.state.digest()
    with pytest.raises(OSError, match="the part is broken"):
        training.state.adopt(snapshot)
    assert training.state.digest() == before
    training.state.adopt(snapshot)
    assert training.state.digest() != before


def test_parts_added_later_are_captured_and_restored() -> None:
    class Alphas:
        def __init__(self) -> None:
            self.values = [0.1, 0.2]

        def state(self) -> list[float]:
            return list(self.values)

        def calls(self, state: list[float]) -> Iterable[tuple[Callable[[Any], object], Any]]:
            return [(self.restore, state)]

        def restore(self, state: list[float]) -> None:
            self.values = list(state)

    training, seeds = trainer(), Alphas()
    training.state.parts["seeds"] = seeds
    snapshot = training.state.capture(training.state.new_arena())
    seeds.values[0] = 9.0
    training.state.adopt(snapshot)
    assert seeds.values == [0.1, 0.2]


def test_an_optimizer_whose_state_was_loaded_is_caught_at_the_next_capture() -> None:
    training = trainer()
    training.optimizer.load_state_dict(training.optimizer.state_dict())
    with pytest.raises(BenchmarkFailed, match="left the arena"):
        training.state.capture(training.state.new_arena())
