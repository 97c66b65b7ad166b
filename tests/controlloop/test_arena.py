import pytest
import torch
from torch import nn

from harness.controlloop import arena as arenas
from harness.controlloop.arena import ALIGNMENT, Arena, Layout, LiveState, homes
from harness.controlloop.optimizer import build
from harness.errors import BenchmarkFailed


def live_state() -> tuple[nn.Module, torch.optim.Optimizer, LiveState]:
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
    optimizer = build(model.parameters(), "adamw", "foreach", 0.1)
    return model, optimizer, LiveState(homes(model, optimizer))


def exchange(live: LiveState, arena: Arena) -> None:
    for call, value in live.exchange_calls(arena):
        call(value)
    live.arena.moved = arena.moved = True


@pytest.fixture(params=["storages", "tensors"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of exchanging memory; the second is that of older versions of torch."""
    if request.param == "storages" and not arenas.SWAPS_STORAGES:
        pytest.skip("this torch cannot swap the memory of storages")
    monkeypatch.setattr(arenas, "SWAPS_STORAGES", request.param == "storages")
    return str(request.param)


def test_every_tensor_of_model_and_optimizer_moves_into_the_arena_with_its_value_and_identity() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    optimizer = build(model.parameters(), "adamw", "foreach", 0.1)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    identities = [id(parameter) for parameter in model.parameters()]
    live = LiveState(homes(model, optimizer))
    assert identities == [id(parameter) for parameter in model.parameters()]
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    storage = live.arena.storages[0]._cdata
    tensors = [*model.parameters(), *model.buffers()]
    tensors += [value for values in optimizer.state.values() for value in values.values()]
    assert len(tensors) == len(live.tensors) == 4 + 3 + 4 * 3
    assert all(tensor.untyped_storage()._cdata == storage for tensor in tensors)


def test_offsets_are_aligned_and_equal_in_all_arenas() -> None:
    _, _, live = live_state()
    other = Arena(live.layout)
    assert all(place.offset % ALIGNMENT == 0 for place in live.layout.places)
    assert all(block.data_ptr() % ALIGNMENT == 0 for block in live.arena.blocks + other.blocks)
    mine = [view.data_ptr() - live.arena.blocks[0].data_ptr() for view in live.arena.views]
    assert mine == [view.data_ptr() - other.blocks[0].data_ptr() for view in other.views]


def test_a_shared_parameter_lies_in_the_arena_once() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    live = LiveState(homes(model, build(model.parameters(), "sgd", "foreach", 0.1)))
    assert len(live.tensors) == 3 + 3
    assert first.weight is second.weight
    assert live.strays() == []


def test_strides_are_kept_and_overlapping_tensors_are_refused() -> None:
    turned = torch.arange(6.0).reshape(2, 3).t()
    layout = Layout({"turned": turned})
    assert Arena(layout).views[0].stride() == (1, 3)
    with pytest.raises(BenchmarkFailed, match="'wide' shares or skips memory"):
        Layout({"wide": torch.zeros(1).expand(4)})


def test_an_exchange_gives_all_tensors_the_other_content_without_copying(way: str) -> None:
    model, _, live = live_state()
    other = Arena(live.layout)
    other.copy_from(live.arena)
    good = live.arena.digest()
    with torch.no_grad():
        for tensor in live.tensors:
            tensor.add_(1)
    bad = live.arena.digest()
    addresses = {live.arena.blocks[0].data_ptr(), other.blocks[0].data_ptr()}
    exchange(live, other)
    assert (live.arena.digest(), other.digest()) == (good, bad)
    assert addresses == {live.arena.blocks[0].data_ptr(), other.blocks[0].data_ptr()}
    assert live.strays() == []
    assert next(model.parameters()).data_ptr() == live.arena.blocks[0].data_ptr()


def test_copies_after_an_exchange_reach_the_memory_that_is_live_now(way: str) -> None:
    _, _, live = live_state()
    other = Arena(live.layout)
    other.copy_from(live.arena)
    exchange(live, other)
    with torch.no_grad():
        for tensor in live.tensors:
            tensor.add_(1)
    wanted = live.arena.digest()
    other.copy_from(live.arena)
    assert other.digest() == wanted


def test_training_goes_on_in_the_exchanged_memory(way: str) -> None:
    model, optimizer, live = live_state()
    other = Arena(live.layout)
    other.copy_from(live.arena)
    exchange(live, other)
    before = live.arena.digest()
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    assert live.arena.digest() != before
    assert live.strays() == []


@pytest.mark.parametrize("megabytes", [1, 8])
def test_small_and_large_arenas_are_copied_byte_by_byte(megabytes: int) -> None:
    tensor = torch.randn(megabytes * 2**18)
    layout = Layout({"x": tensor, "step": torch.tensor(3.0)})
    one, two = Arena(layout), Arena(layout)
    one.views[0].copy_(tensor)
    one.views[1].fill_(5)
    two.copy_from(one)
    assert torch.equal(two.views[0], tensor)
    assert float(two.views[1]) == 5
    assert two.digest() == one.digest()


def test_the_digest_changes_with_any_byte() -> None:
    arena = Arena(Layout({"x": torch.zeros(1000)}))
    seen = {arena.digest()}
    for at in (0, 1, 999):
        arena.views[0].zero_()[at] = 1
        seen.add(arena.digest())
    assert len(seen) == 4


def test_a_replaced_tensor_is_found_by_name() -> None:
    model, optimizer, live = live_state()
    optimizer.state[model[0].weight]["exp_avg"] = torch.zeros(5, 3)  # type: ignore[index]
    assert live.strays() == ["optimizer.0.weight.exp_avg"]
