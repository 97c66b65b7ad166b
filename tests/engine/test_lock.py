"""One measurement at a time on a host, and no lock that outlives its holder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.engine.lock import host_lock
from harness.errors import Cancelled, HostBusy

ROOT = Path(__file__).resolve().parents[2]
HOLDER = (
    "import sys, time; from pathlib import Path; from harness.engine.lock import host_lock\n"
    "with host_lock(folder=Path(sys.argv[1])) as name:\n"
    "    name('the-other-run'); print('held', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def holder(tmp_path: Path):  # type: ignore[no-untyped-def]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_holder_is_refused_and_told_who_holds(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(HostBusy, match=f"the-other-run, pid {holder.pid}"), host_lock(folder=tmp_path):
        pass


def test_a_killed_holder_lets_go_at_once(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with host_lock(folder=tmp_path) as name:
        name("mine")


def test_a_waiting_run_gets_the_lock_when_it_is_free(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    looks = 0

    def end_the_holder_at_the_third_look() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            holder.kill()
            holder.wait()
        return False

    with host_lock(wait_s=60.0, folder=tmp_path, cancelled=end_the_holder_at_the_third_look) as name:
        name("mine")
    assert looks >= 3


def test_a_waiting_run_can_be_cancelled(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(Cancelled), host_lock(wait_s=60.0, folder=tmp_path, cancelled=lambda: True):
        pass


def test_the_lock_is_free_after_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), host_lock(folder=tmp_path):
        raise ValueError("inside")
    with host_lock(folder=tmp_path):
        pass
