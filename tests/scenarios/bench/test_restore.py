from pathlib import Path

import pytest

from harness.controlloop.arena import Arena
from harness.controlloop.snapshot import Snapshot, TrainingState
from harness.errors import BenchmarkFailed, ConfigError, DeviceUnavailable
from harness.scenarios.bench.restore import Copies, RestoreCost
from harness.scenarios.bench.restore_subject import Size, Subject, plain
from tests.controlloop.trainings import CPU, SETTINGS
from tests.scenarios.contexts import Hand, by_hand
from tests.scenarios.training.composing import runner
from tests.scenarios.training.conftest import one_thread  # noqa: F401 - a fixture

SMALL = ["scenario=bench_restore", "data.budget_kb=32", "data.held_out=16", "scenario.losses=10", "scenario.tensors=16"]
SMALL += ["scenario.hash_every=4", "scenario.step_every=5", "scenario.sizes=[{mb: 1, adoptions: 12, rounds: 9}]"]


def measured(folder: Path) -> Hand:
    hand, one = by_hand(folder), runner(*SMALL, small=False)
    one.setup(hand.context)
    one.iterate(hand.context)
    return hand


def subject(tensors: int = 16) -> Subject:
    return Subject(Size(mb=1, adoptions=10, rounds=9), tensors, SETTINGS, seed=0, device=CPU)


def test_every_adoption_is_a_sample_of_its_size_and_of_the_worst(tmp_path: Path) -> None:
    hand = measured(tmp_path)
    assert hand.values("bench.restore.adopt_us") == hand.values("bench.restore.adopt_us.1mb")
    assert len(hand.values("bench.restore.adopt_us")) + len(hand.values("bench.restore.adopt_numpy_us")) == 12
    assert len(hand.values("bench.restore.rearm_ms.1mb")) == 12


def test_the_ratio_comes_with_its_interval_and_the_hashes_with_it(tmp_path: Path) -> None:
    hand = measured(tmp_path)
    estimate, low, high = hand.values("bench.restore.copy_vs_memcpy")
    assert low <= estimate <= high
    (size,) = [attributes for name, attributes in hand.events if name == "bench.restore.size"]
    assert size["tensors"] == 16
    assert size["state_bytes"] == pytest.approx(1e6, rel=0.05)
    assert size["hashes_compared"] == 3 + 3
    assert size["fastest_memcpy"] in ("memcpy", "torch")


def test_all_kinds_of_restores_go_on_with_identical_losses(tmp_path: Path) -> None:
    hand = measured(tmp_path)
    resumed = [attributes for name, attributes in hand.events if name == "bench.restore.resumed"]
    assert [(one["kind"], one["to_step"]) for one in resumed] == [("adopt", 15), ("copy", 15), ("second_fault", 10)]
    assert hand.values("bench.restore.identical_losses") == [15, 15, 20]
    assert all(one["hash_bad"] != one["hash_restored"] for one in resumed)


def test_the_disturbance_moves_everything_that_a_restore_must_bring_back() -> None:
    one = subject()
    assert one.fingerprint() == one.good
    before = {name: part.state() for name, part in one.state.parts.items()}
    one.disturb(draw_from_numpy=True)
    assert one.fingerprint()[0] != one.good[0]
    moved = {name for name, part in one.state.parts.items() if plain(part.state()) != plain(before[name])}
    assert moved == {"rng.torch", "rng.python", "rng.numpy", "loader", "groups", "progress"}
    one.restore("adopt")
    assert one.fingerprint() == one.good


def test_an_adoption_that_does_nothing_is_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(state: TrainingState, snapshot: Snapshot) -> None:
        """Restores nothing."""

    monkeypatch.setattr(TrainingState, "adopt", nothing)
    with pytest.raises(BenchmarkFailed, match="adopting at 1mb did not bring the good state back"):
        measured(tmp_path)


def test_a_copy_that_does_nothing_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    one = subject()
    copies = Copies(one, hash_every=1)

    def nothing(arena: Arena, other: Arena) -> None:
        """Copies nothing."""

    monkeypatch.setattr(Arena, "copy_from", nothing)
    monkeypatch.setattr(copies, "_ways", {"restore": lambda: None, "memcpy": lambda: None})
    with pytest.raises(BenchmarkFailed, match="the copy restore did not bring the good state back"):
        copies.round()


def test_a_number_of_tensors_that_no_model_has_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"scenario.tensors: should be a multiple of 8"):
        subject(tensors=18)


def test_a_gpu_is_refused_before_anything_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = runner(*SMALL, small=False)
    assert isinstance(one, RestoreCost)
    monkeypatch.setattr("harness.scenarios.bench.restore.usable", lambda name: __import__("torch").device("cuda"))
    with pytest.raises(DeviceUnavailable, match="on the host"):
        one.setup(by_hand(tmp_path).context)
