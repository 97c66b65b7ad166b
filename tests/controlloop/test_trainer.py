import math

import pytest
import torch

from harness.controlloop import models
from harness.controlloop.trainer import Step
from tests.controlloop.trainings import TRANSFORMER, trainer, vectors


def test_the_same_seed_gives_the_same_losses_and_another_seed_others() -> None:
    def losses(seed: int) -> list[float]:
        training = trainer(seed=seed)
        return [training.step().loss for _ in range(4)]

    assert losses(3) == losses(3)
    assert losses(3) != losses(4)


def test_a_step_says_what_it_did() -> None:
    training = trainer(batch_size=4, accumulate=3)
    step = training.step()
    assert step.samples == training.samples_per_step == 12
    assert math.isfinite(step.loss)
    assert math.isfinite(step.gradient_norm)
    assert 0 < step.input_wait_ms < step.latency_ms
    assert step.h2d_copy_ms is None


def test_accumulated_batches_make_the_step_of_one_large_batch() -> None:
    whole = trainer(models.linear, vectors(), batch_size=12, accumulate=1)
    split = trainer(models.linear, vectors(), batch_size=4, accumulate=3)
    assert split.step().loss == pytest.approx(whole.step().loss, rel=1e-5)
    for one, other in zip(whole.model.parameters(), split.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_trains_and_differs_from_full_precision(amp: str) -> None:
    full, mixed = trainer(TRANSFORMER), trainer(TRANSFORMER, amp=amp)
    losses = [mixed.step().loss for _ in range(3)]
    assert all(map(math.isfinite, losses))
    assert losses != [full.step().loss for _ in range(3)]


def test_the_gradients_are_clipped_to_the_norm_asked_for() -> None:
    training = trainer(clip_norm=1e-3)
    assert training.step().gradient_norm > 1e-3
    norms = [parameter.grad.norm() for parameter in training.model.parameters() if parameter.grad is not None]
    assert torch.stack(norms).norm() == pytest.approx(1e-3, rel=1e-3)


def test_advancing_counts_the_step_and_sets_the_rate_of_the_next() -> None:
    training = trainer()
    rates = []
    for _ in range(3):
        rates.append(training.optimizer.param_groups[0]["lr"])
        training.step()
        training.advance()
    assert rates == [training.learning_rate.at(step) for step in range(3)]
    assert training.progress.step == 3


def test_measuring_the_accuracy_leaves_the_state_and_the_generators_alone() -> None:
    training = trainer()
    training.step()
    before, generator = training.state.digest(), torch.get_rng_state()
    assert 0 <= training.accuracy() <= 1
    assert training.state.digest() == before
    assert torch.equal(torch.get_rng_state(), generator)
    assert training.model.training


@pytest.mark.parametrize(
    ("loss", "norm", "amp", "healthy"),
    [
        (1.0, 1.0, "disabled", True),
        (math.nan, 1.0, "disabled", False),
        (1.0, math.inf, "disabled", False),
        (1.0, math.inf, "fp16", True),
        (math.inf, math.inf, "fp16", False),
    ],
)
def test_health_is_a_finite_loss_and_norm_but_a_loss_scaler_skips_overflows_itself(
    loss: float, norm: float, amp: str, healthy: bool
) -> None:
    assert trainer(amp=amp).healthy(Step(loss, norm, 1, 0, 1, 0.0, None)) is healthy
