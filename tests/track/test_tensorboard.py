"""What TensorBoard reads back is what the run recorded."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.engine.events import EventStream
from harness.journal.lines import Journal
from harness.measure.samples import Flag, SampleFile
from harness.results.store import Store
from harness.track.tensorboard import Mirror
from tests.results.documents import a_run

pytest.importorskip("tensorboard")


class Shown:
    """A mirrored run as TensorBoard's own reader sees it."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        self._reader: Any = EventAccumulator(str(folder))
        self._reader.Reload()

    def scalars(self, tag: str) -> list[tuple[int, float]]:
        return [(event.step, event.value) for event in self._reader.Scalars(tag)]

    def times(self, tag: str) -> list[float]:
        return [event.wall_time for event in self._reader.Scalars(tag)]

    def tags(self) -> set[str]:
        return set(self._reader.Tags()["scalars"])

    def text(self, tag: str) -> str:
        value: bytes = self._reader.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0]
        return value.decode()


class Running:
    """A run whose files grow."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "outputs")
        self.run = a_run(self.store)
        self.samples = SampleFile(self.run.folder / "samples.bin", create=True)
        self.stream = EventStream(Journal(self.run.folder / "events.jsonl"), "trace")
        self.stream.emit("run.started")
        self._at_ns = 1_000_000_000

    def record(self, metric: str, iteration: int, value: float, flag: Flag = Flag.SAMPLE) -> None:
        self._at_ns += 500_000_000
        self.samples.add(self.samples.id_of(metric) | flag << 16 | iteration << 32, self._at_ns, value)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.samples.close()
    made.stream.close()
    made.store.close()


def test_every_sample_is_shown_once_in_its_order_however_often_one_looks(running: Running, tmp_path: Path) -> None:
    mirror = Mirror(running.run.folder, tmp_path / "shown")
    expected = []
    for iteration in range(6):
        running.record("step.latency_ms", iteration, iteration + 0.25)
        expected.append((iteration, iteration + 0.25))
        if iteration % 2:
            assert mirror.update() == 2
    assert mirror.update() == 0
    mirror.close()
    shown = Shown(tmp_path / "shown")
    assert shown.scalars("step.latency_ms") == expected
    times = shown.times("step.latency_ms")
    assert [later - earlier for earlier, later in pairwise(times)] == pytest.approx([0.5] * 5)


def test_warm_up_and_failures_are_no_samples_and_bounds_are_series_of_their_own(
    running: Running, tmp_path: Path
) -> None:
    running.record("step.latency_ms", 0, 99.0, Flag.WARMUP)
    running.record("step.latency_ms", 0, 5.0)
    running.record("step.latency_ms", 0, 4.0, Flag.LOW)
    running.record("step.latency_ms", 0, 6.0, Flag.HIGH)
    running.record("iteration.duration_ms", 1, 0.0, Flag.FAILED)
    mirror = Mirror(running.run.folder, tmp_path / "shown")
    mirror.update()
    mirror.close()
    shown = Shown(tmp_path / "shown")
    assert shown.tags() == {"step.latency_ms", "step.latency_ms/low", "step.latency_ms/high"}
    assert shown.scalars("step.latency_ms") == [(0, 5.0)]
    assert shown.scalars("step.latency_ms/high") == [(0, 6.0)]


def test_sensors_steps_and_the_configuration_are_shown(running: Running, tmp_path: Path) -> None:
    running.stream.emit("run.progress", sensors={"tree.rss_mb": 120.5})
    running.stream.emit("step.finished", step="clone", status="completed", duration_s=2.5)
    mirror = Mirror(running.run.folder, tmp_path / "shown")
    mirror.update()
    mirror.close()
    shown = Shown(tmp_path / "shown")
    assert shown.scalars("sensors/tree.rss_mb") == [(0, 120.5)]
    assert shown.scalars("steps/clone_s") == [(0, 2.5)]
    assert "seed: 0" in shown.text("config")


def test_a_torn_line_and_a_file_that_is_being_made_are_passed_over(running: Running, tmp_path: Path) -> None:
    with (running.run.folder / "events.jsonl").open("a") as file:
        file.write("{torn\n")
    (running.run.folder / "samples.bin").write_bytes(b"")
    mirror = Mirror(running.run.folder, tmp_path / "shown")
    assert mirror.update() == 0
    mirror.close()


def test_mirroring_a_run_again_replaces_what_was_shown(running: Running, tmp_path: Path) -> None:
    running.record("step.latency_ms", 0, 5.0)
    for _ in range(2):
        mirror = Mirror(running.run.folder, tmp_path / "shown")
        mirror.update()
        mirror.close()
    assert Shown(tmp_path / "shown").scalars("step.latency_ms") == [(0, 5.0)]
