import sys
import threading
import time

import pytest

from harness.llm.wire.dispatcher import Dispatcher


def released(*offsets_ms: float) -> tuple[list[tuple[int, int]], Dispatcher]:
    """When each was due and when it went, once all have gone."""
    went: list[tuple[int, int]] = []
    all_gone = threading.Event()

    def release(due_ns: int) -> None:
        went.append((due_ns, time.monotonic_ns()))
        if len(went) == len(offsets_ms):
            all_gone.set()

    dispatcher = Dispatcher(release)
    start_ns = time.monotonic_ns() + 1_000_000
    for offset_ms in offsets_ms:
        due_ns = start_ns + int(offset_ms * 1e6)
        dispatcher.push(due_ns, due_ns)
    dispatcher.start()
    assert all_gone.wait(30.0)
    return went, dispatcher


def test_nothing_goes_early_and_all_go_in_order() -> None:
    """Trap: some event loops fire timers up to half a millisecond before their time."""
    went, dispatcher = released(*(7 * n % 40 for n in range(40)))
    dispatcher.stop()
    assert all(at_ns >= due_ns for due_ns, at_ns in went)
    assert [due_ns for due_ns, _ in went] == sorted(due_ns for due_ns, _ in went)


def test_an_earlier_one_that_is_added_later_goes_first() -> None:
    went: list[str] = []
    gone = threading.Event()

    def release(name: str) -> None:
        went.append(name)
        gone.set()

    dispatcher = Dispatcher(release)
    dispatcher.start()
    now_ns = time.monotonic_ns()
    dispatcher.push(now_ns + 3_600_000_000_000, "in an hour")
    dispatcher.push(now_ns + 1_000_000, "soon")
    assert gone.wait(30.0)
    dispatcher.stop()
    assert went == ["soon"]


def test_what_is_not_due_never_goes_after_the_end() -> None:
    dispatcher = Dispatcher(lambda thing: None)
    dispatcher.push(time.monotonic_ns() + 3_600_000_000_000, "in an hour")
    dispatcher.start()
    dispatcher.stop()
    assert not dispatcher.is_alive()


def test_one_that_was_never_started_can_be_stopped() -> None:
    Dispatcher(lambda thing: None).stop()


def test_the_last_stretch_leaves_the_interpreter_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap: a thread that asks the clock in a loop keeps the reading thread out for a whole switch interval."""
    monkeypatch.setattr("harness.llm.wire.dispatcher.SPIN_NS", 300_000_000)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(30.0)  # nobody is made to give it up
    try:
        gone_ns: list[int] = []
        dispatcher = Dispatcher(lambda due_ns: gone_ns.append(time.monotonic_ns()))
        dispatcher.start()
        dispatcher.push(time.monotonic_ns() + 250_000_000, None)
        turns = 0
        while not gone_ns:
            turns += 1
            time.sleep(0.001)  # asks for the interpreter again and again, as reading does
        dispatcher.stop()
    finally:
        sys.setswitchinterval(interval)
    assert turns > 10
