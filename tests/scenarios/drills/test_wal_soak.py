from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.journal.log import Log
from harness.journal.recovery import Recovery, recover
from harness.paths import data
from harness.scenarios.drills import wal_soak
from harness.scenarios.drills.wal_soak import WalSoak
from tests.scenarios.contexts import Hand, by_hand

SMALL: dict[str, Any] = {"records": 5, "payload_bytes": 40, "segment_kb": 1, "cut_every": 4, "flip_every": 3}
ITERATIONS = 13


def soaked(folder: Path, **changes: Any) -> tuple[Hand, dict[str, float]]:
    """The sums of all counters."""
    runner, hand = WalSoak(**(SMALL | changes)), by_hand(folder)
    runner.setup(hand.context)
    sums: dict[str, float] = {}
    try:
        for _ in range(ITERATIONS):
            for name, value in runner.iterate(hand.context).items():
                sums[name] = sums.get(name, 0) + value
    finally:
        runner.teardown()
    return hand, sums


def test_every_harm_is_noticed_and_nothing_else_is_lost(tmp_path: Path) -> None:
    hand, sums = soaked(tmp_path)
    assert sums["wal.appended_total"] == 2 * 5 * ITERATIONS == len(hand.values("wal.append_us"))
    assert sums["wal.torn_total"] == 3
    assert sums["wal.refused_total"] == ITERATIONS - 2
    assert sums["wal.lost_total"] == sums["wal.unexpected_total"] == 0
    assert hand.event_names().count("wal.torn_tail") == 3
    assert 1 <= hand.event_names().count("wal.damaged") == sums["wal.flaws_total"] <= 4
    assert not list(tmp_path.glob("wal-*"))


def test_a_log_that_is_only_used_is_never_refused(tmp_path: Path) -> None:
    hand, sums = soaked(tmp_path, cut_every=100, flip_every=100)
    harmless = {name: value for name, value in sums.items() if name not in ("wal.appended_total", "wal.recovery_ms")}
    assert set(harmless.values()) == {0}
    assert hand.events == []


def test_records_lost_after_garbage_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap: lenient reading stops at what is bad, and what was appended after it is gone."""

    def stops_at_the_first_flaw(folder: Path, *, strict: bool = True) -> Recovery:
        found = recover(folder, strict=strict)
        if found.flaws:
            gap = next(i for i, record in enumerate(found.records, 1) if record.sequence != i)
            del found.records[gap:]
        return found

    monkeypatch.setattr(wal_soak, "recover", stops_at_the_first_flaw)
    assert soaked(tmp_path)[1]["wal.lost_total"] > 0


def test_a_writer_that_acknowledges_what_it_did_not_write_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(Log):
        def append(self, kind: int, payload: bytes) -> int:
            return super().append(kind, payload) if payload[0] % 8 else 0

    monkeypatch.setattr(wal_soak, "Log", Forgetful)
    assert soaked(tmp_path, cut_every=100, flip_every=100)[1]["wal.lost_total"] > 0


def test_the_shipped_rules_count_the_harm_of_the_shipped_scenario() -> None:
    scenario = yaml.safe_load((data("conf") / "scenario" / "wal_soak.yaml").read_text(encoding="utf-8"))
    rules = yaml.safe_load((data("conf") / "threshold" / "wal_soak.yaml").read_text(encoding="utf-8"))["rules"]
    iterations, node = scenario["measure"]["iterations"], scenario["scenario"]
    expected = {rule["metric"]: rule["critical"] for rule in rules if "when" in rule}
    assert expected == {
        "wal.torn_total": f"!= {iterations // node['cut_every']}",
        "wal.refused_total": f"!= {iterations - node['flip_every'] + 1}",
    }


def test_a_segment_too_small_for_two_records_is_refused() -> None:
    with pytest.raises(ValueError, match="room for two records"):
        WalSoak(**(SMALL | {"payload_bytes": 700}))
