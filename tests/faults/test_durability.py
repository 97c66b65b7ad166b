"""The power goes while a run measures, on a file system of its own."""

from pathlib import Path

import pytest

from harness.scenarios.bench import power_cut
from harness.scenarios.bench.durability import Durability
from tests.scenarios.contexts import by_hand

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(power_cut.unavailable() is not None, reason=str(power_cut.unavailable())),
]


def test_a_power_cut_takes_no_more_than_the_last_moments(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    bench = Durability(kills=1, power_cuts=1, image_mb=96, seconds=2.0)
    try:
        bench.setup(hand.context)
        bench.iterate(hand.context)
    finally:
        bench.teardown()
    ((_, found),) = [event for event in hand.events if event[0] == "bench.durability.power_cut"]
    assert found["events"] > 0
    assert found["events_lost_s"] <= 1.5, "synced once a second"
    assert not any(str(tmp_path) in line for line in Path("/proc/self/mounts").read_text().splitlines())
