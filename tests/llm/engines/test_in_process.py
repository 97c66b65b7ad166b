"""A load on a model in this process: who asks when, what is overdue, and what becomes of a model that hangs."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.llm.engines.call import Call, Noted
from harness.llm.engines.chunk_reading import read_chunks
from harness.llm.engines.in_process import InProcessLoad
from harness.llm.exchange import Exchange, Failure
from harness.llm.request import Request
from harness.llm.schedule import Closed, Open, Patience, Schedule
from tests.llm.engines.asking import patience, reasons, request
from tests.llm.scripted import FINISH, ROLE, USAGE, delta

CHUNKS = [json.dumps(each).encode() for each in (ROLE, delta("one"), delta(" two"), FINISH, USAGE)]


class Scripted:
    """A core that does what its script says, with the real reading of chunks."""

    def __init__(self, script: Callable[[Call], Failure | None] | None = None) -> None:
        self._script = script or self.whole
        self.lock = threading.Lock()
        self.inside = self.most = 0

    @staticmethod
    def whole(call: Call) -> None:
        for chunk in CHUNKS:
            call.note(chunk)

    def prepare(self, request: Request) -> str:
        return request.text

    def answer(self, call: Call, prepared: Any) -> Failure | None:
        assert prepared == call.exchange.request.text
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            return self._script(call)
        finally:
            with self.lock:
                self.inside -= 1

    def read(self, exchange: Exchange, noted: Sequence[Noted]) -> None:
        read_chunks(exchange, noted)


def run(
    core: Scripted,
    count: int,
    schedule: Schedule,
    patient: Patience | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[list[Exchange], InProcessLoad]:
    load = InProcessLoad(core, [request(str(at)) for at in range(count)], schedule, patient or patience(), cancelled)
    return load.run(), load


def test_the_first_chunk_names_a_role_and_is_no_token() -> None:
    """Trap: llama.cpp hands over a role-only chunk right before the first token."""
    (exchange,), _ = run(Scripted(), 1, Closed((0,)))
    assert exchange.ok
    assert [piece.text for piece in exchange.pieces] == ["one", " two"]
    assert exchange.usage is not None
    assert exchange.usage.output == 3
    assert exchange.sent_ns <= exchange.headers_ns <= exchange.pieces[0].at_ns <= exchange.ended_ns
    assert not exchange.stamped


def test_each_user_waits_for_the_answer_before_the_next_request() -> None:
    core = Scripted()
    exchanges, _ = run(core, 20, Closed((0, 0, 0)))
    assert [each.index for each in exchanges] == list(range(20))
    assert core.most <= 3
    assert sum(each.ok for each in exchanges) == 20


def test_thinking_lies_between_an_answer_and_the_next_request() -> None:
    exchanges, _ = run(Scripted(), 3, Closed((0,), think_ns=20_000_000))
    pauses = [later.sent_ns - sooner.ended_ns for sooner, later in itertools.pairwise(exchanges)]
    assert min(pauses) >= 20_000_000
    assert [later.intended_ns for later in exchanges[1:]] == [each.ended_ns + 20_000_000 for each in exchanges[:-1]]


def test_an_open_loop_does_not_wait_for_answers_and_is_never_early() -> None:
    together = threading.Barrier(4)

    def waits_for_all(call: Call) -> None:
        together.wait(30)
        Scripted.whole(call)

    exchanges, _ = run(Scripted(waits_for_all), 4, Open((0, 1_000_000, 2_000_000, 3_000_000)))
    assert reasons(exchanges) == [None] * 4
    assert all(each.sent_ns >= each.intended_ns for each in exchanges)
    gaps = [later.intended_ns - sooner.intended_ns for sooner, later in itertools.pairwise(exchanges)]
    assert gaps == [1_000_000] * 3


def test_a_schedule_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a time for each of 2 requests"):
        run(Scripted(), 2, Open((0,)))


def test_what_the_library_raises_is_the_outcome_of_that_request_alone() -> None:
    def raises_once(call: Call) -> None:
        if call.exchange.index == 1:
            raise RuntimeError("parse error")
        Scripted.whole(call)

    exchanges, _ = run(Scripted(raises_once), 3, Closed((0,)))
    assert reasons(exchanges) == [None, "server_error", None]
    assert exchanges[1].failure is not None
    assert "parse error" in exchanges[1].failure.message


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([b'{"choices": ['], "malformed"),
        ([b"[1, 2]"], "malformed"),
        (CHUNKS[:2], "cut_off"),
        ([CHUNKS[0], CHUNKS[3]], "empty"),
        ([b'{"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long"}}'], "context_overflow"),
        ([b'{"error": {"code": 500, "message": "failed to allocate buffer"}}'], "out_of_memory"),
    ],
    ids=["half a chunk", "a list", "no end", "no token", "overflow", "memory"],
)
def test_an_answer_that_is_not_whole_has_its_reason(chunks: list[bytes], reason: str) -> None:
    def says(call: Call) -> None:
        for chunk in chunks:
            call.note(chunk)

    (exchange,), _ = run(Scripted(says), 1, Closed((0,)))
    assert reasons([exchange]) == [reason]


def test_a_model_that_goes_silent_is_given_up_keeps_its_pieces_and_the_next_is_served() -> None:
    def silent_once(call: Call) -> None:
        if call.exchange.index > 0:
            return Scripted.whole(call)
        call.note(CHUNKS[1])
        while not call.stopped:
            time.sleep(0.001)  # the silence itself
        assert call.note(CHUNKS[2])

    exchanges, _ = run(Scripted(silent_once), 2, Closed((0,)), patience(30.0, silence_s=0.2))
    assert reasons(exchanges) == ["timeout", None]
    assert exchanges[0].text == "one"


def test_a_model_that_never_lets_go_ends_the_load_and_what_was_not_sent_says_so() -> None:
    forever = threading.Event()

    def hangs(call: Call) -> None:
        forever.wait(60)

    exchanges, load = run(Scripted(hangs), 3, Closed((0,)), patience(0.2))
    assert reasons(exchanges) == ["timeout"] * 3
    assert [each.sent_ns > 0 for each in exchanges] == [True, False, False]
    assert len(load.stuck) == 1
    forever.set()
    assert load.stuck[0].returned.wait(30)


def test_what_comes_after_giving_up_does_not_count() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def comes_late(call: Call) -> None:
        go_on.wait(60)
        Scripted.whole(call)
        ended.set()

    exchanges, _ = run(Scripted(comes_late), 1, Closed((0,)), patience(0.2))
    go_on.set()
    assert ended.wait(30)
    assert reasons(exchanges) == ["timeout"]
    assert exchanges[0].pieces == []


def test_a_cancel_ends_the_load_though_the_model_goes_on() -> None:
    """A prompt that is being read cannot be interrupted, and a cancel must be over within a second."""
    begun, forever = threading.Event(), threading.Event()

    def hangs(call: Call) -> None:
        begun.set()
        forever.wait(60)

    started = time.monotonic()
    exchanges, load = run(Scripted(hangs), 5, Closed((0, 0)), patience(60), begun.is_set)
    assert time.monotonic() - started < 10
    assert set(reasons(exchanges)) == {"cancelled"}
    assert len(load.stuck) == len(exchanges) <= 2
    forever.set()
