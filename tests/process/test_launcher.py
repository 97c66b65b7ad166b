"""Workers are started fast, end for good, and never outlive the supervisor."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.errors import WorkerLost
from harness.process.launcher import Launcher, Start, Worker

ENTRIES = "tests.process.entries"
ROOT = Path(__file__).resolve().parents[2]
STARTS: list[Start] = ["fork", "fresh", "portable"]


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    with Launcher() as made:
        yield made


def receive(worker: Worker) -> dict[str, object]:
    worker.control.setblocking(True)
    data = b""
    while not data.endswith(b"\n"):
        piece = worker.control.recv(65536)
        assert piece, "the worker went away"
        data += piece
    return dict(json.loads(data))


def await_exit(launcher: Launcher, worker: Worker) -> None:
    if launcher.zygote_pid is None:
        while worker.control.recv(65536):
            pass
        psutil.wait_procs([psutil.Process(worker.pid)] if psutil.pid_exists(worker.pid) else [])
        return
    while worker.exit is None:
        assert launcher.collect(block=True) or worker.exit is not None


def await_gone(pids: list[int]) -> None:
    alive = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    _, left = psutil.wait_procs([p for p in alive if p.status() != psutil.STATUS_ZOMBIE], timeout=30)
    assert not [p for p in left if p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("start", STARTS)
def test_a_worker_answers_and_its_exit_code_is_known(launcher: Launcher, start: Start) -> None:
    worker = launcher.spawn(f"{ENTRIES}:echo", start=start, path=[str(ROOT)])
    worker.send({"hello": 1})
    answer = receive(worker)
    assert answer == {"pid": worker.pid, "echo": {"hello": 1}}
    worker.send({"last": True})
    receive(worker)
    await_exit(launcher, worker)
    assert worker.exit is not None
    assert worker.exit.code == 7


@pytest.mark.parametrize("start", STARTS)
def test_what_a_worker_prints_arrives_as_it_was(launcher: Launcher, start: Start) -> None:
    worker = launcher.spawn(f"{ENTRIES}:print_garbage", start=start, path=[str(ROOT)])
    output = b""
    while piece := worker.output.recv(65536):
        output += piece
    assert output.count(b"\xff\xfe not utf-8 \n") == 3
    assert b"and to standard error" in output
    await_exit(launcher, worker)


def test_a_worker_that_ignores_sigterm_is_killed_and_says_so(launcher: Launcher) -> None:
    worker = launcher.spawn(f"{ENTRIES}:hang_deaf", path=[str(ROOT)])
    receive(worker)
    worker.terminate()
    worker.kill()
    await_exit(launcher, worker)
    assert worker.exit is not None
    assert worker.exit.signal == signal.SIGKILL
    assert str(worker.exit) == "killed by SIGKILL"


@pytest.mark.parametrize("start", ["fork", "fresh"])
def test_children_that_outlive_a_worker_are_killed_and_counted(launcher: Launcher, start: Start) -> None:
    worker = launcher.spawn(f"{ENTRIES}:leave_children", start=start, path=[str(ROOT)])
    pids = receive(worker)["pids"]
    assert isinstance(pids, list)
    worker.send({})
    await_exit(launcher, worker)
    assert worker.exit is not None
    assert set(pids) <= set(worker.exit.leftovers)
    await_gone(pids)


def test_one_zygote_serves_many_workers(launcher: Launcher) -> None:
    workers = [launcher.spawn(f"{ENTRIES}:echo", path=[str(ROOT)]) for _ in range(3)]
    assert len({worker.pid for worker in workers}) == 3
    assert len({worker.zygote_pid for worker in workers}) == 1
    for worker in workers:
        worker.send({"last": True})
        receive(worker)
        await_exit(launcher, worker)


def test_closing_the_launcher_leaves_no_process(launcher: Launcher) -> None:
    worker = launcher.spawn(f"{ENTRIES}:leave_children", path=[str(ROOT)])
    pids = receive(worker)["pids"]
    assert isinstance(pids, list)
    zygote = worker.zygote_pid
    assert zygote is not None
    launcher.close()
    await_gone([worker.pid, zygote, *pids])


def test_a_killed_zygote_takes_its_workers_and_their_children_along(launcher: Launcher) -> None:
    worker = launcher.spawn(f"{ENTRIES}:leave_children", path=[str(ROOT)])
    pids = receive(worker)["pids"]
    assert isinstance(pids, list)
    assert worker.zygote_pid is not None
    os.kill(worker.zygote_pid, signal.SIGKILL)
    while launcher.collect(block=True):
        pass
    assert worker.exit is not None
    await_gone([worker.pid, *pids])
    again = launcher.spawn(f"{ENTRIES}:echo", path=[str(ROOT)])
    again.send({"last": True})
    receive(again)


def test_a_killed_supervisor_leaves_no_process() -> None:
    program = (
        "import sys, json; sys.path.insert(0, sys.argv[1])\n"
        "from harness.process.launcher import Launcher\n"
        "from tests.process.test_launcher import receive\n"
        "launcher = Launcher(); worker = launcher.spawn('tests.process.entries:leave_children', path=[sys.argv[1]])\n"
        "pids = receive(worker)['pids']\n"
        "print(json.dumps([worker.pid, worker.zygote_pid, *pids]), flush=True); sys.stdin.read()\n"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", program, str(ROOT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    assert supervisor.stdin is not None
    pids = json.loads(supervisor.stdout.readline())
    supervisor.kill()
    supervisor.wait()
    supervisor.stdin.close()
    supervisor.stdout.close()
    await_gone(pids)


def test_an_import_that_fails_in_the_zygote_is_told_with_the_worker(launcher: Launcher) -> None:
    worker = launcher.spawn(f"{ENTRIES}:echo", preload=["no_such_module_at_all"], path=[str(ROOT)])
    assert "no_such_module_at_all" in worker.failed_imports
    assert "ModuleNotFoundError" in worker.failed_imports["no_such_module_at_all"]


def test_the_zygote_stays_single_threaded(launcher: Launcher) -> None:
    assert launcher.spawn(f"{ENTRIES}:echo", path=[str(ROOT)]).zygote_threads == 1


def test_a_zygote_that_ends_instead_of_forking_is_an_error_and_not_a_hang(launcher: Launcher) -> None:
    with pytest.raises(WorkerLost):
        launcher.spawn(f"{ENTRIES}:echo", preload=["tests.process.exits_on_import"], path=[str(ROOT)])
