from functools import partial
from pathlib import Path

import pytest

from harness.measure.energy import PackageEnergy
from harness.scenarios.training import steady_train
from tests.measure.test_energy import a_package
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
    missing = [attributes["metric"] for name, attributes in hand.events if name == "metric.unavailable"]
    assert missing.count("tolaria.step.h2d_copy_ms") == 1


def test_the_energy_of_a_step_is_that_of_the_training_and_of_nothing_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, used_uj = tmp_path / "powercap", 5_000_000
    a_package(root, 0, used_uj)
    monkeypatch.setattr(steady_train, "PackageEnergy", partial(PackageEnergy, root))
    hand, one = by_hand(tmp_path), runner("scenario=steady_train")

    def use(joules: int) -> None:
        nonlocal used_uj
        used_uj += joules * 1_000_000
        a_package(root, 0, used_uj, around_uj=2**40)

    record = hand.context.record

    def record_and_use(metric: str, value: float) -> None:
        record(metric, value)
        if metric == "tolaria.step.latency_ms":
            use(2)

    monkeypatch.setattr(hand.context, "record", record_and_use)
    one.setup(hand.context)
    for _ in range(2):
        use(1000)
        figures = one.iterate(hand.context)
        assert figures is not None
        assert figures["tolaria.step.joules"] == pytest.approx(2.0)
    one.teardown()
    assert "tolaria.step.joules" in hand.context.catalogue


def test_energy_that_the_host_does_not_tell_is_unavailable_with_its_reason_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steady_train, "PackageEnergy", partial(PackageEnergy, tmp_path / "none"))
    figures, hand = run_once(tmp_path, "scenario=steady_train")
    assert "tolaria.step.joules" not in figures
    missing = [attributes for name, attributes in hand.events if name == "metric.unavailable"]
    (told,) = [each for each in missing if each["metric"] == "tolaria.step.joules"]
    assert told["reason"].startswith("no-sensor: ")


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
