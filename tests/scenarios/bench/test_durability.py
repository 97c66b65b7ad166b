import shutil
from collections import Counter
from pathlib import Path

import pytest

from harness.journal.log import Log
from harness.scenarios.bench import acknowledging, power_cut
from harness.scenarios.bench.durability import Durability
from tests.scenarios.contexts import by_hand

RUN = "20261122T101500Z-stored-1f09ab"


def killed_writer(folder: Path, lines: int) -> Counter[tuple[str, str]]:
    """What a real writer had been told is kept when it was killed after so many lines."""
    bench = Durability(kills=1, power_cuts=0, image_mb=96, seconds=2.0)
    folder.mkdir()
    return acknowledging.counted(bench._said_until_killed(folder, lines))


@pytest.mark.parametrize("lines", [1, 40, 400])
def test_a_killed_writer_loses_nothing_it_was_told_is_kept(lines: int, tmp_path: Path) -> None:
    counts = killed_writer(tmp_path / "one", lines)
    assert sum(counts.values()) >= lines
    assert acknowledging.lost(tmp_path / "one", counts) == 0


def test_a_line_that_was_cut_is_no_acknowledgement() -> None:
    assert acknowledging.counted(f"run {RUN}\nevent {RUN}\nevent {RUN}\nev".encode()) == {
        ("run", RUN): 1,
        ("event", RUN): 2,
    }


@pytest.mark.parametrize("what", ["run", "event", "sample", "finished", "log"])
def test_each_kind_of_record_that_is_missing_is_counted(what: str, tmp_path: Path) -> None:
    """What the benchmark could not see, it could not find."""
    folder = tmp_path / "one"
    counts = killed_writer(folder, 300)
    finished = next(run_id for kind, run_id in counts if kind == "finished")
    place = folder / "outputs/runs" / finished
    match what:
        case "run":
            shutil.rmtree(place)
            counts = Counter({("run", finished): 1})
        case "event":
            lines = (place / "events.jsonl").read_bytes().splitlines(keepends=True)
            (place / "events.jsonl").write_bytes(b"".join(lines[:-3]))
        case "sample":
            counts[("sample", finished)] += 3
        case "finished":
            (place / "result.json").write_text("{}")
        case "log":
            counts[("log", "-")] += 10_000
    assert acknowledging.lost(folder, counts) > 0


def test_a_log_with_other_records_is_a_loss(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", segment_bytes=1 << 16)
    log.append(1, b"another!")
    log.close()
    (tmp_path / "outputs").mkdir()
    assert acknowledging.lost(tmp_path, Counter({("log", "-"): 1})) == 1


def test_where_no_power_can_be_cut_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_cut.os, "geteuid", lambda: 1000)
    hand = by_hand(tmp_path)
    bench = Durability(kills=1, power_cuts=1, image_mb=96, seconds=2.0)
    try:
        bench.setup(hand.context)
        found = bench.iterate(hand.context)
    finally:
        bench.teardown()
    assert hand.events == [
        ("bench.durability.power_cut_skipped", {**hand.events[0][1], "reason": "needs root, to mount"})
    ]
    assert found["bench.durability.lost"] == 0
    assert hand.values("bench.durability.power_cut_s") == []


def test_what_nothing_survived_of_is_lost_since_its_first_moment() -> None:
    assert power_cut._lost_s([3.0, 4.0, 6.0], []) == 3.0
    assert power_cut._lost_s([3.0, 4.0, 6.0], [3.0, 4.0]) == 2.0
