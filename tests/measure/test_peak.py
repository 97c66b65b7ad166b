import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from harness.measure.peak import PeakWatch


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until its standard input ends."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    yield process
    process.communicate()


def watched(process: subprocess.Popen[bytes], looks: int, *, memory: bool = True) -> PeakWatch:
    """A watch that has attended this often."""
    attended = threading.Semaphore(0)
    watch = PeakWatch(0.001, attended.release, memory=memory)
    watch.begin(process.pid)
    for _ in range(looks):
        attended.acquire()
    return watch


def test_the_peak_comes_with_the_evidence_for_it(waiting: subprocess.Popen[bytes]) -> None:
    peak = watched(waiting, 3).finish()
    assert peak.mb is not None
    assert 0 < peak.mb < 50
    assert peak.looks >= 3
    assert peak.largest_gap_ms >= 1
    assert peak.cpu_s > 0


def test_without_memory_it_only_attends(waiting: subprocess.Popen[bytes]) -> None:
    peak = watched(waiting, 3, memory=False).finish()
    assert (peak.mb, peak.looks) == (None, 0)


def test_a_watch_that_never_began_ends() -> None:
    assert PeakWatch(0.001, lambda: None).finish().mb is None


@pytest.mark.parametrize("forced", ["0", "1"], ids=["proc", "psutil"])
def test_a_tree_that_has_ended_has_no_memory(monkeypatch: pytest.MonkeyPatch, forced: str) -> None:
    monkeypatch.setenv("HARNESS_FORCE_PSUTIL", forced)
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie until the wait below
    assert watched(process, 2).finish().mb is None
    process.wait()
