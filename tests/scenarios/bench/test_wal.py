from pathlib import Path
from typing import Any

import pytest

from harness.errors import Cancelled
from harness.journal.recovery import Recovery, recover
from harness.scenarios.bench import damage
from harness.scenarios.bench.damage import small_log, try_all
from harness.scenarios.bench.wal import WalCost
from tests.controlloop.trainings import SETTINGS
from tests.scenarios.contexts import by_hand
from tests.scenarios.training.conftest import one_thread  # noqa: F401 - a fixture

SMALL: dict[str, Any] = {"trainer": SETTINGS, "tensors": 16, "mb": 1.0, "commits": 10, "payload_bytes": 256}
SMALL |= {"checkpoints": 2, "damaged_records": 3}


def test_every_declared_figure_is_measured_and_nothing_stays(tmp_path: Path) -> None:
    runner, hand = WalCost(**SMALL), by_hand(tmp_path)
    runner.setup(hand.context)
    try:
        first = runner.iterate(hand.context)
        second = runner.iterate(hand.context)
    finally:
        runner.teardown()
    assert set(first) == {name for name in hand.context.catalogue if name.startswith("bench.wal.")}
    assert set(first) - set(second) == {"bench.wal.silent_corruptions", "bench.wal.corruptions_tried"}
    assert first["bench.wal.silent_corruptions"] == 0
    assert all(value > 0 for value in second.values())
    assert not list(tmp_path.glob("wal-*"))


def test_every_cut_and_every_bit_is_tried(tmp_path: Path) -> None:
    records = small_log(tmp_path, [b"one", b"two" * 9], 512)
    reading = try_all(tmp_path, records, lambda: False)
    assert reading.tried == 512 + 512 * 8
    assert reading.tried == reading.refused + reading.torn + reading.exact + reading.silent
    assert reading.silent == 0
    assert recover(tmp_path).records == records  # the file is as it was


def test_a_reader_that_stays_silent_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def says_nothing(folder: Path) -> Recovery:
        found = recover(folder, strict=False)
        found.torn.clear()
        return found

    records = small_log(tmp_path, [b"one", b"two" * 9], 512)
    monkeypatch.setattr(damage, "recover", says_nothing)
    assert try_all(tmp_path, records, lambda: False).silent > 100


def test_a_cancel_ends_the_damage(tmp_path: Path) -> None:
    records = small_log(tmp_path, [b"one"], 512)
    with pytest.raises(Cancelled):
        try_all(tmp_path, records, lambda: True)
