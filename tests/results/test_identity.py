import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results import identity

WAITING = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture(params=["proc", "psutil"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Both ways to ask, the portable one forced on."""
    if request.param == "psutil":
        monkeypatch.setattr(identity, "PROC", tmp_path / "no-proc")
    return str(request.param)


@pytest.mark.usefixtures("source")
def test_a_process_is_alive_until_it_ends() -> None:
    with subprocess.Popen(WAITING, stdin=subprocess.PIPE) as child:
        stored = identity.of(child.pid)
        assert stored is not None
        assert identity.alive(stored.as_dict())
        child.kill()
        child.wait()
        assert not identity.alive(stored.as_dict())


@pytest.mark.usefixtures("source")
def test_a_pid_that_is_used_again_is_another_process() -> None:
    mine = identity.of(os.getpid())
    assert mine is not None
    assert not identity.alive({**mine.as_dict(), "start_ticks": mine.start_ticks - 1})
    assert not identity.alive({**mine.as_dict(), "boot_id": "another boot"})


@pytest.mark.usefixtures("source")
def test_a_process_that_ended_and_waits_to_be_reaped_is_dead() -> None:
    with subprocess.Popen(WAITING, stdin=subprocess.PIPE) as child:
        stored = identity.of(child.pid)
        assert stored is not None
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not identity.alive(stored.as_dict())


@pytest.mark.usefixtures("source")
def test_a_pid_that_nobody_has_has_no_identity() -> None:
    assert identity.of(2**22 + 1) is None


def test_a_command_name_with_parentheses_does_not_confuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid, text in (("self", ""), ("77", f"77 (a) b (c)) S {' '.join(str(i) for i in range(4, 60))}")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(text)
    boot = tmp_path / "sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("abc\n")
    monkeypatch.setattr(identity, "PROC", tmp_path)
    assert identity.of(77) == identity.Identity("abc", 77, 22)
