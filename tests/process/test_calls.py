"""A call ends at its deadline, whatever it does; the next one is served, and nothing is left behind."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import psutil
import pytest

from harness.errors import DeadlineExceeded, WorkerLost
from harness.process.calls import CallRecord, Calls
from harness.process.launcher import Launcher
from harness.process.pool import TaskPool
from harness.process.task import RemoteError, TaskLost
from tests.process import callees

ROOT = Path(__file__).resolve().parents[2]
LONG_S = 60.0  # a deadline that no call of these tests reaches
STUCK = [
    callees.stuck_in_c,
    callees.stuck_in_python,
    callees.stuck_holding_the_interpreter_lock,
    callees.deaf,
]


class Served:
    """An executor with everything below it, and what it was told of each call."""

    def __init__(self, most: int = 2, arena_bytes: int = 0) -> None:
        self.records: list[CallRecord] = []
        self.launcher = Launcher()
        client = self.launcher.warm(["tests.process.callees"])
        assert client is not None
        self.pool = TaskPool(client, most=most, spares=1, path=[str(ROOT)], arena_bytes=arena_bytes)
        self.calls = Calls(self.pool, self.records.append)
        self.calls.call(callees.own_pid, deadline_s=LONG_S)
        self.records.clear()

    def close(self) -> None:
        self.calls.close()
        self.launcher.close()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.chdir(ROOT)
    made = Served()
    yield made
    made.close()


def deadline_for(served: Served) -> float:
    """A deadline that a call which works keeps easily on this machine, from calls of this run."""
    started = time.monotonic()
    for _ in range(20):
        served.calls.call(callees.own_pid, deadline_s=LONG_S)
    return max(0.05, time.monotonic() - started)


def test_a_call_gives_the_result_of_another_process(served: Served) -> None:
    assert served.calls.call(callees.add, 2, 3, deadline_s=LONG_S) == 5
    assert served.calls.call(callees.own_pid, deadline_s=LONG_S) != os.getpid()
    assert [record.outcome for record in served.records] == ["completed", "completed"]


def test_messages_larger_than_a_pipe_travel_whole_in_both_directions(served: Served) -> None:
    assert len(served.calls.call(callees.big, 5_000_000, deadline_s=LONG_S)) == 5_000_000
    assert served.calls.call(callees.length, b"y" * 5_000_000, deadline_s=LONG_S) == 5_000_000
    assert len(served.calls.submit(callees.big, 3_000_000, deadline_s=LONG_S).result()) == 3_000_000


@pytest.mark.parametrize("stuck", STUCK, ids=lambda function: function.__name__)
def test_a_stuck_call_is_killed_at_its_deadline_and_the_next_one_is_served(served: Served, stuck) -> None:  # type: ignore[no-untyped-def]
    pid = served.calls.call(callees.own_pid, deadline_s=LONG_S)
    with pytest.raises(DeadlineExceeded):
        served.calls.call(stuck, deadline_s=deadline_for(served))
    assert served.calls.call(callees.own_pid, deadline_s=LONG_S) != pid
    late = [record for record in served.records if record.outcome == "timed_out"]
    assert [record.pid for record in late] == [pid]
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=30)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("stuck", STUCK, ids=lambda function: function.__name__)
def test_a_submitted_call_that_is_stuck_ends_too(served: Served, stuck) -> None:  # type: ignore[no-untyped-def]
    handle = served.calls.submit(stuck, deadline_s=deadline_for(served))
    with pytest.raises(DeadlineExceeded):
        handle.result()
    assert served.calls.submit(callees.add, 1, 1, deadline_s=LONG_S).result() == 2


def test_the_latency_of_a_late_call_is_kept_as_censored_and_never_zero(served: Served) -> None:
    deadline_s = deadline_for(served)
    with pytest.raises(DeadlineExceeded):
        served.calls.call(callees.deaf, deadline_s=deadline_s)
    record = served.records[-1]
    assert record.censored
    assert record.latency_s >= deadline_s


def test_a_timeout_error_of_the_function_is_not_a_missed_deadline(served: Served) -> None:
    with pytest.raises(TimeoutError, match="of the user's own"):
        served.calls.call(callees.raises_timeout, deadline_s=LONG_S)
    assert isinstance(
        served.calls.submit_cooperative(callees.awaits_and_raises, deadline_s=LONG_S).exception(), TimeoutError
    )
    assert served.calls.counts["timed_out"] == 0
    assert served.calls.counts["failed"] == 2


def test_an_exception_that_cannot_travel_keeps_its_text(served: Served) -> None:
    with pytest.raises(RemoteError, match="Stubborn: 1 and 2"):
        served.calls.call(callees.raises_stubborn, deadline_s=LONG_S)


def test_a_process_that_ends_by_itself_is_told_apart_and_replaced(served: Served) -> None:
    with pytest.raises(TaskLost):
        served.calls.call(callees.is_killed, deadline_s=LONG_S)
    with pytest.raises(SystemExit):
        served.calls.call(callees.leaves, deadline_s=LONG_S)
    assert isinstance(served.calls.submit(callees.is_killed, deadline_s=LONG_S).exception(), TaskLost)
    assert served.calls.call(callees.add, 1, 1, deadline_s=LONG_S) == 2


def test_waiting_for_a_process_counts_towards_the_deadline(served: Served) -> None:
    """Traps of the original: a deadline that starts when the work starts, and a queue without one."""
    blocking = [served.calls.submit(callees.deaf, deadline_s=LONG_S) for _ in range(2)]
    queued = served.calls.submit(callees.add, 1, 1, deadline_s=deadline_for_queue(served))
    with pytest.raises(DeadlineExceeded):
        queued.result()
    for handle in blocking:
        handle.cancel()
        with pytest.raises(CancelledError):
            handle.result()


def deadline_for_queue(served: Served) -> float:
    started = time.monotonic()
    served.calls.submit_cooperative(callees.awaits, 0.0, deadline_s=LONG_S).result()
    return max(0.05, 10 * (time.monotonic() - started))


def test_a_cancel_ends_running_work(served: Served) -> None:
    handle = served.calls.submit(callees.stuck_in_c, deadline_s=LONG_S)
    started = served.calls.submit(callees.own_pid, deadline_s=LONG_S).result()
    assert started
    handle.cancel()
    with pytest.raises(CancelledError):
        handle.result()
    assert handle.cancelled()
    assert served.records[-1].outcome == "cancelled"
    assert served.records[-1].censored


def test_more_calls_than_processes_are_all_served(served: Served) -> None:
    handles = [served.calls.submit(callees.add, number, 0, deadline_s=LONG_S) for number in range(50)]
    assert [handle.result() for handle in handles] == list(range(50))
    assert len({record.pid for record in served.records}) == 1


def test_a_callback_is_called_whatever_the_end_is(served: Served) -> None:
    ended: list[bool] = []
    for function in (callees.own_pid, callees.is_killed, callees.raises_timeout):
        handle = served.calls.submit(function, deadline_s=LONG_S)
        handle.add_done_callback(lambda done: ended.append(done.done()))
        handle.exception()
    assert served.calls.submit(callees.own_pid, deadline_s=LONG_S).result()
    assert ended == [True, True, True]


def test_a_coroutine_shares_the_supervising_thread_and_ends_at_its_deadline(served: Served) -> None:
    assert served.calls.submit_cooperative(callees.awaits, 0.0, deadline_s=LONG_S).result() == "awake"
    with pytest.raises(DeadlineExceeded):
        served.calls.submit_cooperative(callees.awaits, 3600.0, deadline_s=0.01).result()
    handle = served.calls.submit_cooperative(callees.awaits, 3600.0, deadline_s=LONG_S)
    handle.cancel()
    with pytest.raises(CancelledError):
        handle.result()


def test_a_function_that_cannot_travel_is_an_error_and_costs_no_process(served: Served) -> None:
    with pytest.raises((AttributeError, TypeError)):
        served.calls.call(lambda: None, deadline_s=LONG_S)
    assert served.calls.call(callees.add, 1, 1, deadline_s=LONG_S) == 2


def test_caller_and_process_share_an_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    served = Served(arena_bytes=1 << 16)
    task = served.pool.acquire(time.monotonic_ns() + int(LONG_S * 1e9))
    assert task is not None
    assert task.arena is not None
    task.send(callees.write_to_arena, (b"from the other side",))
    assert task.receive(time.monotonic_ns() + int(LONG_S * 1e9)) == (True, 1 << 16)
    assert task.arena[:19] == b"from the other side"
    served.pool.release(task)
    served.close()


def test_closing_is_bounded_and_leaves_no_process_thread_or_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    me = psutil.Process()
    before = (me.num_threads(), me.num_fds(), len(me.children(recursive=True)))
    served = Served(most=4)
    handles = [served.calls.submit(stuck, deadline_s=LONG_S) for stuck in (*STUCK, *STUCK)]
    served.close()
    for handle in handles:
        with pytest.raises(CancelledError):
            handle.result()
    for _ in range(10_000):  # a joined thread ends in the kernel only a little later
        after = (me.num_threads(), me.num_fds(), len(me.children(recursive=True)))
        if after == before:
            break
    assert after == before


def test_calls_after_the_zygote_was_killed_are_an_error_and_not_a_hang(served: Served) -> None:
    zygote = served.launcher.zygote_pid
    assert zygote is not None
    psutil.Process(zygote).kill()
    with pytest.raises((WorkerLost, TaskLost)):
        while True:  # a few calls may pass before the kernel has ended everything
            served.calls.call(callees.own_pid, deadline_s=LONG_S)
