import functools

import pytest
import torch

from harness.controlloop import models
from harness.controlloop.data import Dataset
from harness.errors import ConfigError
from tests.controlloop.trainings import MLP, TRANSFORMER, text, trainer, vectors


@pytest.mark.parametrize(
    ("model", "data", "positions"),
    [
        (models.linear, vectors(), 1),
        (models.linear, text(), 1),
        (MLP, vectors(), 1),
        (MLP, text(), 1),
        (TRANSFORMER, text(), 8),
    ],
    ids=["linear-vectors", "linear-bytes", "mlp-vectors", "mlp-bytes", "transformer-bytes"],
)
def test_a_model_predicts_the_last_positions_of_every_row(model: object, data: Dataset, positions: int) -> None:
    network = model(data.spec)  # type: ignore[operator]
    inputs, targets = data.gather(torch.arange(5))
    logits = network(inputs)
    assert logits.shape == (5, positions, data.spec.classes)
    assert targets.shape[1] >= positions


@pytest.mark.parametrize("model", [models.linear, MLP], ids=["linear", "mlp"])
def test_training_lowers_the_loss_and_raises_the_accuracy(model: models.nn.Module) -> None:
    training = trainer(model, vectors(), learning_rate=0.05)  # type: ignore[arg-type]
    before = training.accuracy()
    losses = [training.step().loss for _ in range(40)]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert training.accuracy() > before


def test_a_position_of_the_transformer_does_not_see_what_follows() -> None:
    network = TRANSFORMER(text().spec).eval()
    inputs, _ = text().gather(torch.arange(1))
    changed = inputs.clone()
    changed[0, 5:] = 7
    with torch.no_grad():
        assert torch.allclose(network(inputs)[0, :5], network(changed)[0, :5], atol=1e-6)
        assert not torch.allclose(network(inputs)[0, 5:], network(changed)[0, 5:], atol=1e-6)


@pytest.mark.parametrize(("norm", "buffers"), [("batch", 3), ("layer", 0), ("none", 0)])
def test_only_batch_norm_brings_buffers(norm: str, buffers: int) -> None:
    network = models.mlp(text().spec, embedding=2, hidden=4, layers=1, norm=norm, dropout=0.0)  # type: ignore[arg-type]
    assert len(list(network.buffers())) == buffers


def test_the_transformer_refuses_vectors_and_widths_that_cannot_be_shared() -> None:
    with pytest.raises(ConfigError, match="data=stdlib_text"):
        TRANSFORMER(vectors().spec)
    odd = functools.partial(models.transformer, width=10, layers=1, heads=4, dropout=0.0)
    with pytest.raises(ConfigError, match=r"model.width: should be a multiple of model.heads = 4, found 10"):
        odd(text().spec)
