"""The sample file keeps what was recorded, and tells samples from everything else."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StoreLost
from harness.measure.samples import Flag, SampleFile, read_measured, read_records, trim

ROOT = Path(__file__).resolve().parents[2]


def tag(metric: int, iteration: int, flag: Flag = Flag.SAMPLE) -> int:
    return metric | flag << 16 | iteration << 32


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2**30), st.floats(allow_nan=False)), max_size=60))
def test_records_are_read_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, int, float]]
) -> None:
    path = tmp_path_factory.mktemp("samples") / "samples.bin"
    file = SampleFile(path, create=True, capacity=4)
    ids = [file.id_of(f"metric.{number}") for number in range(6)]
    for metric, iteration, value in written:
        file.add(tag(ids[metric], iteration), 17, value)
    file.close()
    trim(path)
    found = [(record.metric, record.iteration, record.value) for record in read_records(path)]
    assert found == [(f"metric.{metric}", iteration, value) for metric, iteration, value in written]


def test_a_writer_killed_after_its_tenth_sample_leaves_ten(tmp_path: Path) -> None:
    program = (
        "import sys, os, signal; from pathlib import Path; from harness.measure.samples import SampleFile\n"
        "file = SampleFile(Path(sys.argv[1]), create=True); metric = file.id_of('m')\n"
        "[file.add(metric | n << 32, n, n / 2) for n in range(10)]\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "samples.bin"
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert read_measured(path).series["m"].values == [n / 2 for n in range(10)]


def test_warm_up_is_never_a_sample(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "samples.bin", create=True)
    metric = file.id_of("m")
    file.add(tag(metric, 0, Flag.WARMUP), 0, 100.0)
    file.add(tag(metric, 0), 0, 1.0)
    file.close()
    assert read_measured(file.path).series["m"].values == [1.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_fails_its_iteration_and_is_listed(tmp_path: Path, value: float) -> None:
    file = SampleFile(tmp_path / "samples.bin", create=True)
    good, bad = file.id_of("good"), file.id_of("bad")
    for iteration in range(3):
        file.add(tag(good, iteration), 0, 1.0)
        file.add(tag(bad, iteration), 0, value if iteration == 1 else 2.0)
    file.close()
    measured = read_measured(file.path)
    assert measured.failed == {1}
    assert [sample.metric for sample in measured.not_finite] == ["bad"]
    assert measured.series["good"].iterations == [0, 2]


def test_samples_of_a_failed_iteration_are_no_samples(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "samples.bin", create=True)
    duration, extra = file.id_of("iteration.duration_ms"), file.id_of("extra")
    file.add(tag(extra, 0), 0, 5.0)
    file.add(tag(duration, 0, Flag.FAILED), 0, 0.0)
    file.add(tag(duration, 1), 0, 7.0)
    file.close()
    measured = read_measured(file.path)
    assert measured.failed == {0}
    assert {name: series.values for name, series in measured.series.items()} == {"iteration.duration_ms": [7.0]}


def test_an_interval_belongs_to_the_sample_before_it(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "samples.bin", create=True)
    metric = file.id_of("ratio")
    for iteration, (low, middle, high) in enumerate([(0.9, 1.0, 1.1), (0.5, 0.6, 0.7)]):
        file.add(tag(metric, iteration), 0, middle)
        file.add(tag(metric, iteration, Flag.LOW), 0, low)
        file.add(tag(metric, iteration, Flag.HIGH), 0, high)
    file.close()
    series = read_measured(file.path).series["ratio"]
    assert (series.values, series.lows, series.highs) == ([1.0, 0.6], [0.9, 0.5], [1.1, 0.7])
    assert series.has_intervals


def test_the_file_grows_when_more_is_recorded_than_was_foreseen(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "samples.bin", create=True, capacity=2)
    metric = file.id_of("m")
    for number in range(100):
        file.add(tag(metric, number), number, float(number))
    assert file.count == 100
    file.close()
    assert read_measured(file.path).series["m"].values == [float(number) for number in range(100)]


def test_another_process_sees_the_header_while_the_file_grows(tmp_path: Path) -> None:
    writer = SampleFile(tmp_path / "samples.bin", create=True, capacity=2)
    reader = SampleFile(tmp_path / "samples.bin")
    metric = writer.id_of("m")
    for number in range(50):
        writer.add(tag(metric, number), number, 1.0)
    reader.cancel()
    assert writer.cancelled
    assert reader.count == 50
    reader.close()
    writer.close()


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(os.urandom(100_000))
    with pytest.raises(StoreLost, match="not a sample file"):
        list(read_records(tmp_path / "other"))
    (tmp_path / "short").write_bytes(b"")
    with pytest.raises(StoreLost, match="not a sample file"):
        list(read_records(tmp_path / "short"))


def test_where_blocks_cannot_be_reserved_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of systems without posix_fallocate, forced here: the file has all its blocks, and grows."""
    monkeypatch.delattr(os, "posix_fallocate")
    file = SampleFile(tmp_path / "samples.bin", create=True, capacity=2)
    metric = file.id_of("m")
    for number in range(5000):
        file.add(tag(metric, number), number, float(number))
    stat = file.path.stat()
    assert stat.st_blocks * 512 >= stat.st_size
    file.close()
    assert len(read_measured(file.path).series["m"].values) == 5000
