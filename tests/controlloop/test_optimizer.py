import pytest
import torch
from torch import nn

from harness.controlloop.optimizer import LearningRate, build


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("implementation", ["for_loop", "foreach", "fused"])
def test_a_state_made_beforehand_trains_as_one_that_torch_makes_itself(kind: str, implementation: str) -> None:
    ours, theirs = nn.Linear(4, 3), nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict())
    mine = build(ours.parameters(), kind, implementation, 0.1)  # type: ignore[arg-type]
    knobs = {
        "lr": 0.1,
        "foreach": implementation == "foreach",
        **({"fused": True} if implementation == "fused" else {}),
    }
    classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    other = classes[kind](theirs.parameters(), **({"momentum": 0.9} if kind == "sgd" else {}), **knobs)  # type: ignore[arg-type]
    assert len(mine.state) == 2
    for _ in range(5):
        inputs = torch.randn(6, 4)
        for model, optimizer in ((ours, mine), (theirs, other)):
            optimizer.zero_grad()
            model(inputs).square().sum().backward()
            optimizer.step()
    assert torch.equal(ours.weight, theirs.weight)


def test_the_learning_rate_rises_falls_and_depends_on_the_step_alone() -> None:
    rate = LearningRate(1.0, warmup_steps=4, total_steps=24)
    values = [rate.at(step) for step in range(30)]
    assert values[:4] == [0.25, 0.5, 0.75, 1.0]
    assert values[4:24] == sorted(values[4:24], reverse=True)
    assert values[-1] == pytest.approx(0.1)
    assert values == [rate.at(step) for step in range(30)]


def test_without_warm_up_the_first_step_has_the_peak_rate() -> None:
    assert LearningRate(1.0, warmup_steps=0, total_steps=10).at(0) == 1.0
