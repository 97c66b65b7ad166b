"""What a process used is its own count, and nothing is made up where it cannot be seen."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from harness.llm.engine import Served
from harness.llm.server_usage import REMOTE, TreeUsage, usage_of
from harness.process.children import Child
from harness.process.memory import tree_resident_mb

WORK = """
import os, signal, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
def say(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())
say("up", time.process_time())
signal.sigwait({signal.SIGUSR1})
block = bytearray(os.urandom(1)) * (MEGABYTES << 20)
while time.process_time() < BURN: pass
say("done", time.process_time())
del block
signal.sigwait({signal.SIGUSR1})
"""


@contextmanager
def working(megabytes: int, burn_s: float) -> Iterator[tuple[Child, IO[bytes]]]:
    reader, writer = os.pipe()
    code = WORK.replace("MEGABYTES", str(megabytes)).replace("BURN", str(burn_s))
    child = Child([sys.executable, "-S", "-c", code], stdout=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        yield child, said
    child.stop(0)
    child.wait()


def go_on(child: Child) -> None:
    os.kill(child.pid, signal.SIGUSR1)


def number(line: bytes) -> float:
    return float(line.split()[1])


@pytest.mark.parametrize("portable", [False, True], ids=["proc", "psutil"])
def test_cpu_time_and_peak_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch, portable: bool) -> None:
    if portable:
        monkeypatch.setenv("HARNESS_FORCE_PSUTIL", "1")
    with working(megabytes=200, burn_s=1.0) as (child, said):
        before = number(said.readline())
        watch = TreeUsage(child.pid, interval_s=0.01)
        watch.begin()
        go_on(child)
        used = number(said.readline()) - before
        usage = watch.finish()
    assert usage.reason is None
    assert usage.cpu_s is not None
    assert usage.cpu_s == pytest.approx(used, abs=0.03 if portable else 0.01)
    assert usage.rss_peak_mb is not None
    assert usage.rss_mean_mb is not None
    assert 200 <= usage.rss_peak_mb < 240
    assert usage.rss_mean_mb <= usage.rss_peak_mb


def test_a_second_watch_does_not_carry_over_the_peak_of_the_first() -> None:
    """Trap: the kernel's high-water mark is that of the whole life of a process."""
    with working(megabytes=200, burn_s=0.0) as (child, said):
        said.readline()
        watch = TreeUsage(child.pid, interval_s=0.01)
        watch.begin()
        go_on(child)
        said.readline()
        first = watch.finish()
        while tree_resident_mb(child.pid) > 100:  # it gives the memory back right after its last word
            continue
        watch.begin()
        second = watch.finish()
    assert first.rss_peak_mb is not None
    assert second.rss_peak_mb is not None
    assert first.rss_peak_mb > 200 > 100 > second.rss_peak_mb


def test_the_limit_is_told_once_while_the_process_lives() -> None:
    seen: list[float] = []
    with working(megabytes=200, burn_s=0.5) as (child, said):
        said.readline()
        watch = TreeUsage(child.pid, interval_s=0.01, limit_mb=100, over_limit=seen.append)
        watch.begin()
        go_on(child)
        said.readline()
        watch.finish()
    assert len(seen) == 1
    assert seen[0] > 100


def test_a_process_that_has_ended_is_told_as_gone() -> None:
    child = Child(["/bin/sh", "-c", "exit 0"])
    child.wait()
    watch = TreeUsage(child.pid)
    watch.begin()
    usage = watch.finish()
    assert usage.rss_peak_mb is None
    assert usage.reason is not None
    assert usage.reason.startswith("gone")


def served(pid: int | None, **settings: str) -> Served:
    return Served("openai", None, "m", None, None, None, settings, pid)


def test_a_server_elsewhere_is_unavailable_with_its_reason() -> None:
    watch = usage_of(served(None), os.getpid())
    watch.begin()
    assert watch.finish().reason == REMOTE
    assert usage_of(served(None, pid_unknown="forwarded: x"), 1).finish().reason == "forwarded: x"


def test_a_model_in_the_measuring_process_says_that_the_client_is_counted_too() -> None:
    watch = usage_of(served(os.getpid()), os.getpid())
    watch.begin()
    assert "also sends the requests" in watch.finish().basis
