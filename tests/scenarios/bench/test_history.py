from pathlib import Path

import pytest

from harness.errors import BenchmarkFailed
from harness.results import schema
from harness.results.index import Index
from harness.scenarios.bench.archive import a_manifest, a_result, fill
from harness.scenarios.bench.history import HistoryCost
from tests.scenarios.contexts import by_hand


def test_the_filled_store_holds_real_manifests_of_every_kind(tmp_path: Path) -> None:
    fill(tmp_path, 50, lambda: False)
    assert all(schema.validate(a_manifest(number), "manifest") == [] for number in range(6))
    assert schema.validate(a_result(), "result") == []
    index = Index(tmp_path)
    assert index.rebuild() == 50
    assert {row["status"] for row in index.find()} == {"completed", "failed", "cancelled"}
    index.close()


def test_everything_is_measured_and_removed(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    bench = HistoryCost(runs=12_000, rebuilt=100, queries=10, commands=1, stored=2, exported=5)
    try:
        bench.setup(hand.context)
        found = bench.iterate(hand.context)
    finally:
        bench.teardown()
    assert hand.events[0][1]["runs"] == 12_000
    assert all(value > 0 for name, value in found.items() if name != "bench.history.begin_ms")
    assert set(found) == {name for name in hand.context.catalogue if name.startswith("bench.history.")}
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_query_that_finds_other_than_twenty_is_an_error(tmp_path: Path) -> None:
    """A store that has lost its runs is no quick store."""
    hand = by_hand(tmp_path)
    bench = HistoryCost(runs=1000, rebuilt=100, queries=10, commands=1, stored=1, exported=5)
    try:
        bench.setup(hand.context)
        bench._runs = 10_000_000
        bench._random.seed(1)
        with pytest.raises(BenchmarkFailed, match="gave 0 rows"):
            bench._query_ms()
    finally:
        bench.teardown()
