"""How many threads compute by default, and that they wait asleep: else a busy host may make no progress at all."""

import os

import pytest

from harness.llm.engine import EngineFailed
from harness.llm.engines import openmp


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (8, 7)])
def test_one_core_is_left_to_the_client(monkeypatch: pytest.MonkeyPatch, cores: int, threads: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    assert openmp.default_threads() == threads


def test_a_child_waits_asleep_whatever_it_inherits_unless_spinning_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert openmp.environment(busy_wait=False)["OMP_WAIT_POLICY"] == "passive"
    assert "OMP_WAIT_POLICY" not in openmp.environment(busy_wait=True)


def test_this_process_is_settled_before_the_library_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(openmp, "loaded", lambda: None)
    openmp.settle(busy_wait=False)
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    assert os.environ["GOMP_SPINCOUNT"] == "0"


def test_what_was_loaded_before_can_no_longer_be_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(openmp, "loaded", lambda: "/usr/lib/libgomp.so.1")
    with pytest.raises(EngineFailed, match=r"has loaded libgomp\.so\.1 already"):
        openmp.settle(busy_wait=False)
    openmp.settle(busy_wait=True)
    assert os.environ == {}
