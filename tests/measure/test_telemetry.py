import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.measure import host, portable, proc
from harness.measure.catalogue import shipped
from harness.measure.telemetry import MOST_SHARE, Level, Snapshot, TreeSampler

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
METHODS = pytest.mark.parametrize("use_psutil", [pytest.param(False, marks=linux_only), True], ids=["proc", "psutil"])

Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python code in a session of its own and waits until it prints a line; ends all of it afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def make(code: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-S", "-c", f"import os, signal, sys, threading\n{code}"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield make
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


READY = "os.write(1, b'ready\\n')\n"
PAUSE = "sys.stdin.buffer.read(1)\n"
THREE = "for _ in range(2):\n    if os.fork() == 0:\n        signal.pause()\n"


def spaced(sampler: TreeSampler) -> Snapshot:
    """A new sample, taken as soon as the sampler's own limit on its share allows one."""
    before = sampler._samples
    while sampler._samples == before:
        snapshot = sampler.sample()
    return snapshot


@METHODS
def test_the_whole_tree_is_seen(start: Start, use_psutil: bool) -> None:
    code = (
        THREE + "for _ in range(4):\n    threading.Thread(target=signal.pause, daemon=True).start()\n" + READY + PAUSE
    )
    values = TreeSampler(start(code).pid, use_psutil=use_psutil).sample().values
    assert values["tree.processes"] == 3
    assert values["tree.threads"] == 7


@METHODS
def test_memory_is_what_the_process_itself_counts(start: Start, use_psutil: bool) -> None:
    process = start("held = bytearray(100 << 20)\nheld[::4096] = b'x' * len(held[::4096])\n" + READY + PAUSE)
    values = TreeSampler(process.pid, use_psutil=use_psutil).sample().values
    counted = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * proc.PAGE_MB
    assert values["tree.rss_mb"] == pytest.approx(counted, rel=0.01)
    assert values["tree.peak_rss_mb"] >= values["tree.rss_mb"]


@linux_only
def test_a_peak_between_two_samples_is_kept_by_the_kernel(start: Start) -> None:
    process = start("held = bytearray(100 << 20)\nheld[::4096] = b'x' * len(held[::4096])\ndel held\n" + READY + PAUSE)
    values = TreeSampler(process.pid, use_psutil=False).sample().values
    assert values["tree.peak_rss_mb"] > 100 > values["tree.rss_mb"]


@METHODS
def test_cpu_time_is_what_the_processes_themselves_count(start: Start, use_psutil: bool) -> None:
    code = READY + PAUSE + "import time\nwhile time.process_time() < 0.5: pass\n" + READY + PAUSE
    process = start(code)
    sampler = TreeSampler(process.pid, use_psutil=use_psutil)
    spaced(sampler)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x")
    process.stdin.flush()
    process.stdout.readline()
    last = spaced(sampler).values
    assert last["tree.cpu_s"] == pytest.approx(
        0.5, abs=0.07
    )  # the kernel counts in hundredths; Python's start is in 0.5
    assert last["tree.cpu_percent"] > 0


@linux_only
def test_cpu_time_of_children_that_ended_is_not_lost(start: Start) -> None:
    work = "import time\n    while time.process_time() < 0.3: pass\n    os._exit(0)\n"
    code = READY + PAUSE + f"if os.fork() == 0:\n    {work}os.wait()\n" + READY + PAUSE
    process = start(code)
    sampler = TreeSampler(process.pid, use_psutil=False)
    spaced(sampler)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x")
    process.stdin.flush()
    process.stdout.readline()
    assert spaced(sampler).values["tree.cpu_s"] >= 0.29


@METHODS
def test_a_vanished_process_gives_a_last_sample_and_no_error(start: Start, use_psutil: bool) -> None:
    process = start(READY + PAUSE)
    sampler = TreeSampler(process.pid, use_psutil=use_psutil)
    assert spaced(sampler).alive
    process.kill()
    process.communicate()
    last = spaced(sampler)
    assert not last.alive
    assert "tree.rss_mb" not in last.values
    assert not spaced(sampler).alive
    summary = sampler.summary()
    assert summary["sensors"]["tree.rss_mb"]["n"] == 1
    assert summary["sampler"]["errors"] == 0


@METHODS
def test_a_process_that_never_was_is_unavailable_and_not_zero(use_psutil: bool) -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    sampler = TreeSampler(process.pid, use_psutil=use_psutil)
    assert not sampler.sample().alive
    found = sampler.summary()["sensors"]["tree.rss_mb"]
    assert (found["value"], found["status"]) == (None, "unavailable")
    assert found["reason"].startswith("too-short")


@METHODS
def test_the_summary_names_every_sensor_of_the_catalogue_with_unit_or_reason(start: Start, use_psutil: bool) -> None:
    sampler = TreeSampler(start(READY + PAUSE).pid, use_psutil=use_psutil)
    spaced(sampler)
    spaced(sampler)
    summary = json.loads(json.dumps(sampler.summary(), allow_nan=False))
    expected = {name.removeprefix("telemetry.") for name in shipped() if name.startswith("telemetry.")}
    assert set(summary["sensors"]) == expected - {"sampler.cpu_share"}
    assert summary["method"] == ("psutil" if use_psutil else "proc")
    for name, sensor in summary["sensors"].items():
        assert sensor["unit"] == shipped()[f"telemetry.{name}"].unit
        if sensor["status"] == "ok":
            assert sensor["min"] <= sensor["value"] <= sensor["max"]
            assert sensor["n"] >= 1
        else:
            assert sensor["value"] is None
            assert sensor["reason"]


def test_the_light_level_reads_the_tree_only(start: Start) -> None:
    sampler = TreeSampler(start(READY + PAUSE).pid, "light")
    assert {name.split(".")[0] for name in sampler.sample().values} == {"tree"}
    assert {name.split(".")[0] for name in sampler.summary()["sensors"]} == {"tree"}


def test_the_disabled_level_reads_nothing() -> None:
    sampler = TreeSampler(os.getpid(), "disabled")
    assert sampler.sample().values == {}
    assert sampler.summary()["sensors"] == {}
    assert sampler.summary()["sampler"]["samples"] == 0


@pytest.mark.parametrize("level", ["full", "light"])
@METHODS
def test_asked_for_without_pause_sampling_keeps_to_its_share(start: Start, use_psutil: bool, level: Level) -> None:
    sampler = TreeSampler(start(READY + PAUSE).pid, level, use_psutil=use_psutil)
    opened = sampler._cpu_ns
    started = time.perf_counter_ns()
    for _ in range(5):
        spaced(sampler)
    last = sampler._costs_us[-1] * 1000  # paid, and its pause is still to come
    assert sampler._cpu_ns - opened - last <= MOST_SHARE * (time.perf_counter_ns() - started) * 1.01
    assert sampler.summary()["sampler"]["repeated"] > 0


def test_the_environment_variable_forces_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_FORCE_PSUTIL", "1")
    assert TreeSampler(os.getpid()).method == "psutil"
    monkeypatch.setenv("HARNESS_FORCE_PSUTIL", "0")
    assert TreeSampler(os.getpid()).method == ("proc" if sys.platform == "linux" else "psutil")


def test_a_sensor_that_breaks_is_counted_and_never_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any) -> dict[str, float]:
        raise RuntimeError("a driver fault")

    monkeypatch.setattr(portable.PortableHostSensors, "read", broken)
    sampler = TreeSampler(os.getpid(), use_psutil=True)
    sampler.sample()
    summary = sampler.summary()
    assert summary["sampler"]["errors"] == 1
    assert summary["sampler"]["last_error"] == "RuntimeError: a driver fault"
    assert summary["sensors"]["host.load1"]["reason"] == "error: RuntimeError: a driver fault"


@linux_only
def test_closing_gives_back_every_descriptor(start: Start) -> None:
    pid = start(THREE + READY + PAUSE).pid
    before = len(list(Path("/proc/self/fd").iterdir()))
    sampler = TreeSampler(pid, use_psutil=False)
    sampler.sample()
    sampler.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert sampler.summary()["sensors"]["tree.processes"]["value"] == 3
    assert sampler.sample().values["tree.processes"] == 3


STAT = b"77 (a) b) (c) S 5 77 77 0 -1 4194304 100 0 0 0 30 12 4 4 20 0 9 0 1234 1048576 50 18446744073709551615 0"


def test_a_stat_line_is_read_whatever_the_name_holds() -> None:
    assert proc.parse_stat(STAT) == proc.Stat("S", 5, 50, 9, 1234, 1048576, 50)
    with pytest.raises(IndexError):
        proc.parse_stat(STAT[:40])


def reader_over(monkeypatch: pytest.MonkeyPatch, *looks: dict[int, tuple[int, int]]) -> list[float]:
    """CPU seconds of a tree whose members have these (parent, ticks) at each look; 1 is the root."""
    reader = proc.TreeReader(os.getpid())
    found = []
    for members in looks:
        stats = {pid: proc.Stat("S", parent, ticks, 1, 0, 1, 1) for pid, (parent, ticks) in members.items()}
        found.append(round(reader._count_ticks(stats)))
    reader.close()
    return found


def test_ticks_of_a_child_move_to_its_parent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reader_over(monkeypatch, {1: (0, 10), 2: (1, 90)}, {1: (0, 101)}) == [100, 101]


def test_ticks_of_a_child_reaped_during_the_look_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reader_over(monkeypatch, {1: (0, 10), 2: (1, 90)}, {1: (0, 11)}, {1: (0, 102)}) == [100, 100, 102]


def test_ticks_of_an_adopted_orphan_stay_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = {1: (0, 10), 2: (1, 5), 3: (2, 90)}, {1: (0, 15), 3: (999, 91)}, {1: (0, 16)}, {1: (0, 17)}
    assert reader_over(monkeypatch, *looks) == [105, 106, 107, 108]


def test_a_process_between_vfork_and_exec_is_not_counted_twice() -> None:
    parent = proc.Stat("D", 1, 0, 3, 0, 5_000_000, 800)
    assert proc._same_memory(proc.Stat("R", 7, 0, 1, 0, 5_000_000, 800), {7: parent})
    assert not proc._same_memory(proc.Stat("R", 7, 0, 1, 0, 5_000_000, 790), {7: parent})
    assert not proc._same_memory(proc.Stat("R", 8, 0, 1, 0, 5_000_000, 800), {7: parent})


def test_host_shares_come_from_the_difference_of_two_readings() -> None:
    before = host.parse_cpu_times(b"cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\n")
    after = host.parse_cpu_times(b"cpu  130 0 110 840 10 5 5 10 0 0\n")
    assert host.shares(before, after) == pytest.approx(
        {"host.cpu_percent": 45.4545, "host.steal_percent": 9.0909}, rel=1e-3
    )
    assert host.shares(after, after) == {}


def test_available_memory_is_in_mebibytes() -> None:
    assert host.parse_available_mb(b"MemTotal:  9 kB\nMemAvailable:    2097152 kB\n") == 2048
