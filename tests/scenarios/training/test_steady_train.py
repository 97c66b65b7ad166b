from pathlib import Path

import pytest

from tests.scenarios.contexts import by_hand
from tests.scenarios.training.composing import run_once, runner

VECTORS = ["data.rows=512", "data.held_out=64", "data.features=8"]


@pytest.mark.parametrize("model", ["mlp", "transformer"])
def test_two_epochs_are_two_samples_and_nothing_fails(tmp_path: Path, model: str) -> None:
    figures, hand = run_once(tmp_path, "scenario=steady_train", f"model={model}")
    assert figures["tolaria.epochs.total"] == 2
    assert figures["tolaria.epochs.failed"] == figures["tolaria.rollback.fast_hits_total"] == 0
    for name in ("training.latency_ms", "training.accuracy", "hook.latency_ms"):
        assert len(hand.values(f"tolaria.{name}")) == 2
    assert len(hand.values("tolaria.step.latency_ms")) == 16


def test_every_figure_of_an_iteration_is_declared(tmp_path: Path) -> None:
    figures, hand = run_once(tmp_path, "scenario=steady_train")
    assert set(figures) <= set(hand.context.catalogue)


def test_the_event_says_which_data_and_how_large_a_state(tmp_path: Path) -> None:
    _, hand = run_once(tmp_path, "scenario=steady_train")
    (built,) = [attributes for name, attributes in hand.events if name == "tolaria.training.built"]
    assert built["data"]["bytes"] == 32 * 1024
    assert len(built["data"]["sha256"]) == 64
    assert built["state_bytes"] > 4 * 3 * built["parameters"]


def test_on_the_cpu_the_copy_to_the_device_is_unavailable_and_not_zero(tmp_path: Path) -> None:
    _, hand = run_once(tmp_path, "scenario=steady_train")
    assert hand.values("tolaria.step.h2d_copy_ms") == []
    (missing,) = [attributes for name, attributes in hand.events if name == "metric.unavailable"]
    assert missing["metric"] == "tolaria.step.h2d_copy_ms"


def test_iterations_are_the_same_training_and_give_the_same_outcome(tmp_path: Path) -> None:
    def outcome() -> str | None:
        hand, one = by_hand(tmp_path), runner("scenario=steady_train")
        one.setup(hand.context)
        for _ in range(2):
            one.iterate(hand.context)
        one.teardown()
        losses = hand.values("tolaria.step.loss")
        assert losses[:16] == losses[16:]
        return hand.context.outcome

    first = outcome()
    assert first is not None
    assert outcome() == first


@pytest.mark.parametrize(
    ("overrides", "metric"),
    [
        (["scenario.trainer.amp=bf16"], "tolaria.train.amp_enabled"),
        (["scenario.trainer.tf32=true"], "tolaria.train.tf32_enabled"),
        (["scenario.trainer.implementation=foreach"], "tolaria.train.foreach_enabled"),
        (["scenario.trainer.implementation=fused"], "tolaria.train.fused_enabled"),
    ],
)
def test_each_acceleration_is_stated(tmp_path: Path, overrides: list[str], metric: str) -> None:
    figures, _ = run_once(tmp_path, "scenario=steady_train", *overrides)
    assert figures[metric] == 1


def test_a_linear_model_brings_synthetic_data_along(tmp_path: Path) -> None:
    overrides = ["scenario=steady_train", "model=linear", "scenario.epochs=1", "scenario.steps=8", *VECTORS]
    hand, one = by_hand(tmp_path), runner(*overrides, small=False)
    one.setup(hand.context)
    one.iterate(hand.context)
    (built,) = [attributes for name, attributes in hand.events if name == "tolaria.training.built"]
    assert built["data"]["name"] == "synthetic"
