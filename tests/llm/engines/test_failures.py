"""Every way in which an answer can fail: told apart, kept to its own request, tried again where that is right."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.llm.engines.openai import OpenAIEngine
from harness.llm.schedule import Open
from tests.llm.engines.asking import ONE_USER, engine, patience, reasons, request, usual_s
from tests.llm.scripted import (
    GOOD,
    LAST_CHUNK,
    ROLE,
    STREAM_HEAD,
    Connection,
    Script,
    answer,
    chunk,
    delta,
    event,
    say,
    serving,
    stream,
)
from tests.scenarios.contexts import Hand, by_hand

BEGUN = STREAM_HEAD + event(ROLE) + event(delta("one"))


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


LLAMA_SAYS = "request (6031 tokens) exceeds the available context size (1024 tokens), try increasing it"
LLAMA_OVERFLOW = error(LLAMA_SAYS, code=400, type="exceed_context_size_error", n_prompt_tokens=6031, n_ctx=1024)
OPENAI_SAYS = "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens."
VLLM_SAYS = "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens in the messages."


EMPTY = stream().replace(b'"completion_tokens": 3', b'"completion_tokens": 0')


def killed(connection: Connection) -> None:
    connection.send(BEGUN)
    connection.reset()


def half_a_chunk(connection: Connection) -> None:
    connection.send(BEGUN + b'40\r\ndata: {"choices":[{"del')


def at_once_reset(connection: Connection) -> None:
    connection.reset()


FAILING: dict[str, tuple[Script, str]] = {
    "killed mid-stream": (killed, "reset"),
    "reset before a word": (at_once_reset, "reset"),
    "half a chunk, then closed": (half_a_chunk, "reset"),
    "500": (say(answer(error("boom"), 500)), "server_error"),
    "503 loading": (say(answer(error("Loading model", code=503), 503)), "loading"),
    "429": (say(answer(error("slow down"), 429)), "busy"),
    "404": (say(answer(error("no such model"), 404)), "client_error"),
    "an event that is no JSON": (say(BEGUN + event(b'{"choices": [{') + LAST_CHUNK), "malformed"),
    "no HTTP": (say(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "malformed"),
    "a chunk of no length": (say(STREAM_HEAD + b"zz\r\ndata\r\n"), "malformed"),
    "HTML": (say(answer(b"<html>hello</html>", kind="text/html")), "content_type"),
    "JSON for a stream": (say(answer({"choices": []})), "content_type"),
    "ended without an end": (say(BEGUN + LAST_CHUNK), "cut_off"),
    "whole and empty": (say(EMPTY), "empty"),
    "an error inside the stream": (say(BEGUN + event(error("CUDA out of memory")) + LAST_CHUNK), "out_of_memory"),
    "overflow of llama.cpp": (say(answer(LLAMA_OVERFLOW, 400)), "context_overflow"),
    "overflow of OpenAI": (say(answer(error(OPENAI_SAYS, code="context_length_exceeded"), 400)), "context_overflow"),
    "overflow of vLLM": (say(answer({"object": "error", "message": VLLM_SAYS, "code": 400}, 400)), "context_overflow"),
    "overflow of Ollama": (say(answer(error("the input length exceeds the context length"), 400)), "context_overflow"),
}  # fmt: skip


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return by_hand(tmp_path)


@pytest.fixture
def started(hand: Hand) -> Iterator[Any]:
    """A function that starts an engine on a server with these scripts."""
    opened: list[Any] = []

    def start(*scripts: Script, **knobs: Any) -> OpenAIEngine:
        server = serving(*scripts)
        asked = engine(server.__enter__().url, **knobs)
        opened.extend((asked.close, lambda: server.__exit__(None, None, None)))
        asked.start(hand.context)
        return asked

    yield start
    for close in opened:
        close()


@pytest.mark.parametrize(("script", "reason"), FAILING.values(), ids=FAILING)
def test_a_failure_has_its_reason_and_the_requests_beside_it_are_whole(
    started: Any, hand: Hand, script: Script, reason: str
) -> None:
    asked = started(GOOD, script, GOOD)
    exchanges = asked.exchange([request()] * 3, ONE_USER, patience(), hand.context)
    assert reasons(exchanges) == [None, reason, None]
    assert [each.text for each in exchanges if each.ok] == ["one two three"] * 2
    failed = exchanges[1]
    assert failed.failure is not None
    assert failed.failure.message
    assert failed.ended_ns >= failed.sent_ns > 0


def test_the_error_rate_is_that_of_the_script(started: Any, hand: Hand) -> None:
    asked = started(*[GOOD, killed, GOOD, say(answer({}, 500))] * 5)
    exchanges = asked.exchange([request()] * 20, ONE_USER, patience(), hand.context)
    assert [each.index for each in exchanges] == list(range(20))
    assert sum(not each.ok for each in exchanges) == 10


def test_a_server_that_closes_behind_a_whole_answer_costs_no_request(started: Any, hand: Hand) -> None:
    """Trap: llama.cpp promises to keep the connection and closes it; the next request, sent into it, was a failure."""
    closes = say(stream("one"))  # a script that is not GOOD ends its connection
    asked = started(*[closes] * 20, keep_alive=True)
    exchanges = asked.exchange([request()] * 20, ONE_USER, patience(), hand.context)
    assert reasons(exchanges) == [None] * 20


def test_what_arrived_before_the_end_is_kept(started: Any, hand: Hand) -> None:
    (exchange,) = started(killed).exchange([request()], ONE_USER, patience(), hand.context)
    assert exchange.text in ("one", "")  # a reset may overtake what was sent before it
    (exchange,) = started(half_a_chunk).exchange([request()], ONE_USER, patience(), hand.context)
    assert exchange.text == "one"


def test_a_server_that_never_answers_is_given_up_in_time_and_the_next_request_is_served(
    started: Any, hand: Hand
) -> None:
    asked = started(GOOD, lambda connection: connection.hang(), GOOD)
    waits_s = max(0.3, 20 * usual_s(asked, hand.context))
    exchanges = asked.exchange([request()] * 2, ONE_USER, patience(30.0, first_byte_s=waits_s), hand.context)
    assert reasons(exchanges) == ["timeout", None]
    assert (exchanges[0].ended_ns - exchanges[0].sent_ns) / 1e9 >= waits_s


def test_silence_in_the_middle_of_an_answer_is_a_timeout_that_keeps_the_pieces(started: Any, hand: Hand) -> None:
    def falls_silent(connection: Connection) -> None:
        connection.send(BEGUN)
        connection.hang()

    asked = started(GOOD, falls_silent)
    waits_s = max(0.3, 20 * usual_s(asked, hand.context))
    (exchange,) = asked.exchange([request()], ONE_USER, patience(30.0, silence_s=waits_s), hand.context)
    assert reasons([exchange]) == ["timeout"]
    assert exchange.text == "one"


def test_a_slow_drip_is_never_silent_and_still_ends_with_its_total_time(started: Any, hand: Hand) -> None:
    """Trap: a limit on silence alone is reset by every byte, and such an answer never ends."""

    def drips(connection: Connection) -> None:
        connection.send(BEGUN)
        connection.drip(chunk(b"data: " + b" " * 100_000), every_s=0.01)

    asked = started(GOOD, drips)
    total_s = max(0.5, 20 * usual_s(asked, hand.context))
    (exchange,) = asked.exchange([request()], ONE_USER, patience(30.0, total_s=total_s), hand.context)
    assert reasons([exchange]) == ["timeout"]


def test_a_busy_server_is_asked_again_after_the_time_it_names(started: Any, hand: Hand) -> None:
    asked = started(say(answer(error("later"), 429, Retry_After="0.2")), GOOD)
    exchanges = asked.exchange([request()], ONE_USER, patience(attempts=3), hand.context)
    assert [(each.index, each.attempt) for each in exchanges] == [(0, 1), (0, 2)]
    assert reasons(exchanges) == ["busy", None]
    assert exchanges[1].sent_ns - exchanges[0].ended_ns >= 0.2e9


def test_a_loading_server_is_asked_again_and_one_that_broke_is_not(started: Any, hand: Hand) -> None:
    asked = started(say(answer(error("Loading model"), 503)), GOOD, say(answer(error("boom"), 500)), GOOD)
    exchanges = asked.exchange([request()] * 3, ONE_USER, patience(attempts=3), hand.context)
    assert [(each.index, each.attempt) for each in exchanges] == [(0, 1), (0, 2), (1, 1), (2, 1)]
    assert reasons(exchanges) == ["loading", None, "server_error", None]


def test_attempts_come_to_an_end(started: Any, hand: Hand) -> None:
    asked = started(*[say(answer(error("later"), 429))] * 3)
    exchanges = asked.exchange([request()], ONE_USER, patience(attempts=3), hand.context)
    assert reasons(exchanges) == ["busy"] * 3


def test_an_open_loop_goes_on_past_a_request_that_hangs(started: Any, hand: Hand) -> None:
    asked = started(GOOD, lambda connection: connection.hang(), GOOD, GOOD)
    waits_s = max(0.5, 20 * usual_s(asked, hand.context))
    schedule = Open((0, 50_000_000, 100_000_000))
    exchanges = asked.exchange([request()] * 3, schedule, patience(30.0, first_byte_s=waits_s), hand.context)
    assert sorted(reasons(exchanges), key=str) == [None, None, "timeout"]
    assert max(each.ended_ns for each in exchanges if each.ok) < min(each.ended_ns for each in exchanges if not each.ok)


def test_a_server_that_is_gone_refuses(started: Any, hand: Hand) -> None:
    with serving() as server:
        asked = engine(server.url)
        asked.start(hand.context)
    exchanges = asked.exchange([request()] * 2, ONE_USER, patience(), hand.context)
    assert set(reasons(exchanges)) <= {"refused", "reset"}
    asked.close()


def test_a_cancel_ends_a_load_that_hangs(started: Any, hand: Hand) -> None:
    def cancels(connection: Connection) -> None:
        hand.cancel()
        connection.hang()

    asked = started(cancels)
    began = time.monotonic()
    exchanges = asked.exchange([request()] * 3, ONE_USER, patience(60), hand.context)
    assert reasons(exchanges) == ["cancelled"]
    assert time.monotonic() - began < 30
