"""Every way in which a server fails on the wire, each by a server that really does it."""

import dataclasses
import json
import socket
import time

import pytest

from harness.llm.exchange import Exchange
from harness.llm.schedule import Closed, Open
from tests.llm.wire.asking import PATIENT, asks, exchanged
from tests.llm.wire.scripted import (
    LAST,
    WHOLE,
    Script,
    chunk,
    hangs_up,
    head,
    refuses,
    resets,
    said,
    scripted,
    sends,
    waits_for_the_end,
)

HASTY = dataclasses.replace(PATIENT, first_byte_s=0.2, silence_s=0.2)


def one(*scripts: Script, **options: object) -> Exchange:
    with scripted(*scripts) as server:
        (found,) = exchanged(server.url, [asks()], **options)  # type: ignore[arg-type]
    return found


def outcome(exchange: Exchange) -> tuple[str, str]:
    """The reason, and the text that came all the same."""
    assert exchange.failure is not None
    assert exchange.ended_ns >= exchange.sent_ns
    return exchange.failure.reason, exchange.text


def test_a_whole_answer_is_none_of_these() -> None:
    found = one(sends(WHOLE))
    assert found.ok, found.failure
    assert found.text == "ab"
    assert found.finish_reason == "stop"


@pytest.mark.parametrize("how", [hangs_up, resets])
def test_a_server_that_is_killed_in_the_middle_of_a_stream(how: Script) -> None:
    reason, text = outcome(one(sends(head() + said("a"), then=how)))
    assert reason == "reset"
    assert text in ("a", "")  # a reset may take along what was not read yet


def test_half_a_chunk() -> None:
    assert outcome(one(sends(head() + said("a") + said("bcd")[:-9], then=hangs_up))) == ("reset", "a")


def test_half_a_json_in_a_whole_stream() -> None:
    found = one(sends(head() + said("a") + chunk(b'data: {"choices": [{"delta"\n\n') + LAST))
    assert outcome(found) == ("malformed", "a")
    assert found.failure is not None
    assert '{"choices": [{"delta"' in found.failure.message


@pytest.mark.parametrize("data", [b"data: 17\n\n", b"data: {} {}\n\n", b"data: \xff\n\n", b"data: nothing\n\n"])
def test_events_that_are_no_json_object(data: bytes) -> None:
    assert outcome(one(sends(head() + said("a") + chunk(data) + LAST)))[0] == "malformed"


def test_wrong_framing_inside_the_stream() -> None:
    assert outcome(one(sends(head() + said("a") + b"zz\r\n" + LAST)))[0] == "malformed"


def test_what_is_no_http() -> None:
    assert outcome(one(sends(b"220 mail ready\r\n\r\n", then=waits_for_the_end))) == ("malformed", "")


def test_a_stream_that_ends_in_good_order_without_saying_so() -> None:
    assert outcome(one(sends(head() + said("a") + b"0\r\n\r\n"))) == ("cut_off", "a")


def test_a_stream_that_only_the_connection_ends() -> None:
    start = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    events = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    assert one(sends(start + events + b"data: [DONE]\n\n", then=hangs_up)).ok
    assert outcome(one(sends(start + events, then=hangs_up))) == ("cut_off", "a")


def test_an_answer_without_a_token() -> None:
    assert outcome(one(sends(head() + said("", "stop") + LAST))) == ("empty", "")


def test_a_server_that_never_answers() -> None:
    found = one(waits_for_the_end, patience=HASTY)
    assert outcome(found) == ("timeout", "")
    assert found.ended_ns - found.sent_ns >= 0.2e9


def test_a_server_that_falls_silent() -> None:
    assert outcome(one(sends(head() + said("a"), then=waits_for_the_end), patience=HASTY)) == ("timeout", "a")


def test_a_slow_drip_is_ended_by_the_time_for_the_whole_answer() -> None:
    def drips(connection: socket.socket) -> bool:
        connection.sendall(head())
        connection.settimeout(0.01)
        while True:
            connection.sendall(said("a"))
            try:
                return bool(connection.recv(1))  # empty when the client has had enough
            except TimeoutError:
                continue

    patience = dataclasses.replace(PATIENT, silence_s=10.0, total_s=0.3)
    found = one(drips, patience=patience)
    assert outcome(found)[0] == "timeout"
    assert len(found.pieces) > 2
    assert found.failure is not None
    assert "0.3 s" in found.failure.message


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("429 Too Many", "busy"),
        ("500 Error", "server_error"),
        ("503 Unavailable", "loading"),
        ("400 Bad", "client_error"),
    ],
)
def test_refusals(status: str, reason: str) -> None:
    found = one(refuses(status, {"error": {"message": "no"}}))
    assert outcome(found) == (reason, "")
    assert found.status == int(status[:3])


def test_a_prompt_that_does_not_fit() -> None:
    body = {"error": {"code": 400, "message": "the request exceeds the available context size", "n_ctx": 512}}
    assert outcome(one(refuses("400 Bad Request", body)))[0] == "context_overflow"


def test_an_error_in_the_middle_of_a_stream() -> None:
    event = chunk(b'data: {"error": {"message": "out of memory", "code": 500}}\n\n')
    assert outcome(one(sends(head() + said("a") + event + LAST))) == ("out_of_memory", "a")


def test_the_wrong_kind_of_content() -> None:
    assert outcome(one(sends(head("text/html") + chunk(b"<p>hello</p>") + b"0\r\n\r\n")))[0] == "content_type"
    assert outcome(one(refuses("200 OK", {"choices": [{"message": {"content": "a"}}]})))[0] == "content_type"


def test_nobody_listens() -> None:
    with scripted(hangs_up) as server:
        url = server.url
    done = exchanged(url, [asks(key) for key in range(300)], Closed((0, 0)))
    assert [one.failure.reason for one in done if one.failure] == ["refused"] * 300


def test_an_unknown_host_is_a_failure_of_each_request() -> None:
    (found,) = exchanged("http://no-such-host.invalid:1/v1", [asks()])
    assert outcome(found)[0] == "refused"


def test_only_refusals_that_say_so_are_tried_again() -> None:
    patience = dataclasses.replace(PATIENT, attempts=3, backoff_s=0.01)
    loading = refuses("503 Unavailable", {"error": {"message": "Loading model"}})
    with scripted(loading, refuses("429 Busy", {}, "Retry-After: 0"), sends(WHOLE)) as server:
        done = exchanged(server.url, [asks()], patience=patience)
    assert [one.attempt for one in done] == [1, 2, 3]
    assert [one.failure.reason if one.failure else "" for one in done] == ["loading", "busy", ""]
    assert len({one.intended_ns for one in done}) == 1
    with scripted(refuses("500 Error", {})) as server:
        done = exchanged(server.url, [asks()], patience=patience)
    assert [one.attempt for one in done] == [1]


def test_waiting_before_another_attempt_doubles() -> None:
    patience = dataclasses.replace(PATIENT, attempts=3, backoff_s=0.02)
    with scripted(refuses("503 Unavailable", {})) as server:
        first, second, third = exchanged(server.url, [asks()], patience=patience)
    assert second.sent_ns - first.ended_ns >= 0.02e9
    assert third.sent_ns - second.ended_ns >= 0.04e9


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced_without_another_attempt() -> None:
    """Trap: some servers promise to keep a connection and close it behind the answer; that is no failure of theirs."""

    def closes_when_asked_again(connection: socket.socket) -> bool:
        connection.sendall(WHOLE)
        connection.recv(1)  # the next request is on its way
        return False

    with scripted(closes_when_asked_again, sends(WHOLE)) as server:
        first, second = exchanged(server.url, [asks(0), asks(1)])
        assert server.connections == 2
    assert first.ok
    assert second.ok, second.failure
    assert (first.resent, second.resent) == (False, True)
    assert second.attempt == 1


def test_a_new_connection_that_is_closed_is_a_failure() -> None:
    with scripted(hangs_up) as server:
        (found,) = exchanged(server.url, [asks()], reuse=False)
    assert outcome(found)[0] == "reset"
    assert not found.resent


def test_a_failure_does_not_end_the_load() -> None:
    with scripted(sends(head() + said("a"), then=resets), refuses("500 Error", {}), sends(WHOLE)) as server:
        done = exchanged(server.url, [asks(key) for key in range(6)], Closed((0,)))
    assert [one.ok for one in done] == [False, False, True, True, True, True]


def test_a_request_that_does_not_fit_into_the_socket_at_once_arrives_whole() -> None:
    big = asks(words=400_000)
    with scripted(sends(WHOLE)) as server:
        (closed,) = exchanged(server.url, [big])
        (opened,) = exchanged(server.url, [big], Open((0,)))
        sent = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests]
    assert closed.ok
    assert opened.ok
    assert [body["messages"][0]["content"] for body in sent] == [big.text] * 2


def test_a_cancel_ends_what_is_on_its_way_and_leaves_out_the_rest() -> None:
    from harness.llm.wire.body import encode
    from harness.llm.wire.client import HttpClient
    from harness.llm.wire.target import Target

    with scripted(sends(WHOLE), waits_for_the_end) as server:
        client = HttpClient(Target.of(server.url))
        calls = [(request, *encode(request, None)) for request in (asks(key) for key in range(5))]
        done = client.exchange(calls, Closed((0,)), PATIENT, lambda: len(server.requests) == 2)
    assert [one.failure.reason if one.failure else "" for one in done] == ["", "cancelled"]


def test_one_hundred_continue_comes_before_the_answer() -> None:
    assert one(sends(b"HTTP/1.1 100 Continue\r\n\r\n", WHOLE)).ok


def test_an_answer_in_the_smallest_pieces_is_the_same_answer() -> None:
    parts = [WHOLE[at : at + 1] for at in range(len(WHOLE))]
    found = one(sends(*parts))
    assert found.ok, found.failure
    assert found.text == "ab"


def test_an_end_of_the_stream_in_two_writes_is_seen() -> None:
    for at in range(1, 8):
        found = one(sends(WHOLE[:-at], WHOLE[-at:], then=waits_for_the_end), patience=HASTY)
        assert found.ok, (at, found.failure)


def test_a_trailer_behind_the_last_chunk_is_the_end_too() -> None:
    assert one(sends(WHOLE[:-2] + b"Checksum: 7\r\n\r\n", then=waits_for_the_end), patience=HASTY).ok


def test_text_that_looks_like_the_end_is_not_the_end() -> None:
    whole = b'{"choices": [{"message": {"content": "a"}}],\n\n\r\n0\r\n\r\n"x": 1}'
    data = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(whole)
    at = data.index(b"0\r\n\r\n") + 5
    with scripted(sends(data[:at], data[at:] + b"0\r\n\r\n")) as server:
        (found,) = exchanged(server.url, [asks(stream=False)])
    assert found.failure is not None
    assert found.failure.reason == "malformed"  # the whole of it was read, and is no JSON
    assert "choices" in found.failure.message


def test_the_load_is_over_when_the_last_answer_is_there() -> None:
    began = time.monotonic()
    assert one(sends(WHOLE, then=waits_for_the_end)).ok
    assert time.monotonic() - began < PATIENT.first_byte_s
