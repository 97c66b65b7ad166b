"""The benchmark of verdicts on a few trials: what it counts, and that planted work is exactly counted."""

from pathlib import Path

import pytest

from harness.measure.samples import Phase
from harness.scenarios.bench.counted import CountedWork
from harness.scenarios.bench.detection import Detection
from tests.scenarios.contexts import by_hand

CONFIG = {
    "affinity": {"threads": 1, "cpus": None, "nice": 0},
    "metrics": {},
    "measure": {"warmup": 0, "iterations": 3, "timeout_s": 60.0},
    "seed": 0,
    "deterministic": False,
}


def test_a_few_trials_give_every_figure_with_its_interval(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    hand.context.config = CONFIG
    bench = Detection(
        kind="hash",
        units=20,
        more_units=20,  # twice the work, which no noise hides
        short_rounds=40,
        rounds=80,
        pair_every=1,
        pair_rounds=10,
        resamples=5,
    )
    bench.setup(hand.context)
    try:
        hand.context.phase = Phase.MEASURE
        for iteration in range(3):
            hand.context.iteration = iteration
            bench.iterate(hand.context)
    finally:
        bench.teardown()
    for name, last in (("trials", 3), ("pairs", 3), ("found_5pct", 1.0), ("found_5pct_pairs", None)):
        values = hand.values(f"bench.detection.{name}")
        assert values, name
        assert last is None or values[-1] == last
    assert len(hand.values("bench.detection.false_alarms")) == 3  # the rate and its two bounds
    assert set(hand.values("bench.detection.cost_unchanged")) <= {1.0, 2.0}
    for peer in ("naive", "welch", "mann_whitney", "asv"):
        for arrangement in ("blocks", "interleaved"):
            assert len(hand.values(f"bench.detection.{peer}_{arrangement}_false")) == 2
            assert len(hand.values(f"bench.detection.{peer}_{arrangement}_missed")) == 2


@pytest.mark.parametrize("kind", ["hash", "mlp"])
def test_counted_work_does_as_many_pieces_as_it_says(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work = CountedWork(units=21, kind=kind)  # type: ignore[arg-type]
    work.prepare()
    done = []
    unit = work._unit
    monkeypatch.setattr(work, "_unit", lambda: done.append(unit()))
    work.work()
    assert len(done) == 21
