from pathlib import Path

import pytest

from harness.errors import BenchmarkFailed
from harness.scenarios.bench import restore_full
from harness.scenarios.bench.restore_subject import Size, Subject
from tests.controlloop.trainings import CPU, SETTINGS
from tests.scenarios.contexts import by_hand
from tests.scenarios.training.conftest import one_thread  # noqa: F401 - a fixture


def subject() -> Subject:
    return Subject(Size(mb=1, adoptions=10, rounds=6), 16, SETTINGS, seed=0, device=CPU)


def test_a_restore_from_a_file_is_measured_against_reads_copy_and_peer_and_proved(tmp_path: Path) -> None:
    hand, rounds = by_hand(tmp_path), 6
    restore_full.measure_full(hand.context, subject(), "100mb", rounds, lambda: None)
    for name in ("pread", "torch_load", "memcpy"):
        estimate, low, high = hand.values(f"bench.restore.full_vs_{name}")
        assert low <= estimate <= high
    assert len(hand.values("bench.restore.full_ms.100mb")) == 1
    ((_, event),) = hand.events
    assert event["hashes_compared"] == 2
    assert event["fastest_read"].startswith("read_")
    assert not list(tmp_path.glob("restore-*"))


def test_a_restore_that_brings_nothing_back_is_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_full._Rounds, "_restore", lambda rounds: None)
    with pytest.raises(BenchmarkFailed, match="did not bring the good state back"):
        restore_full.measure_full(by_hand(tmp_path).context, subject(), "100mb", 6, lambda: None)


def test_the_peer_really_comes_back_from_its_file(tmp_path: Path) -> None:
    one = subject()
    peer = restore_full._Peer(one, tmp_path / "peer.pt")
    before = {name: tensor.clone() for name, tensor in peer._model.state_dict().items()}
    for parameter in peer._model.parameters():
        parameter.data.zero_()
    peer.load()
    assert all((tensor == before[name]).all() for name, tensor in peer._model.state_dict().items())
    assert sum(1 for _ in peer._model.parameters()) * 4 == len(one.state.live.tensors)
