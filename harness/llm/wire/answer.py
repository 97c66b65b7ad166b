"""Reads what was kept of one attempt, after the load: pieces with their times, usage, timings, or why there is none."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.llm.exchange import Exchange, Failure, Piece, Usage
from harness.llm.wire.chunks import Content, read_chunk
from harness.llm.wire.events import Event, EventReader
from harness.llm.wire.failures import refusal
from harness.llm.wire.flight import Flight, Read
from harness.llm.wire.framing import Dechunker, Head, Malformed
from harness.llm.wire.stamps import Offsets, arrival

NEAR_NS = 50_000  # bytes that are older than their stamp by no more than this count as stamped

_DONE = b"[DONE]"
_SHOWN = 120  # bytes of what could not be read
_decode = json.JSONDecoder().raw_decode


class Arrival(NamedTuple):
    """When the bytes of one read came: the newest at `at_ns`, all of them after `since_ns`."""

    at_ns: int
    since_ns: int
    lag_ns: int
    stamped: bool


@dataclass
class _Body:
    """The contents of an answer as they are read."""

    contents: list[tuple[Content, int]] = field(default_factory=list)  # with the read in which each ended
    done: bool = False  # the stream said that it is over
    failure: Failure | None = None


def fill(flight: Flight, offsets: Offsets | None, missing_key: str | None = None) -> Exchange:
    """The exchange of this attempt, complete with all that its reads tell."""
    exchange = flight.exchange
    arrivals = _arrivals(flight.reads, exchange.sent_ns, offsets)
    exchange.stamped = bool(arrivals) and all(arrival.stamped for arrival in arrivals)
    if arrivals:
        exchange.headers_ns, exchange.ended_ns = arrivals[0].at_ns, arrivals[-1].at_ns
    if flight.failed_ns:
        exchange.ended_ns = flight.failed_ns
    head = flight.head
    exchange.failure = flight.failure
    if head is None:
        return exchange
    exchange.status = head.status
    if head.status != 200:
        exchange.failure = flight.failure or _refused(flight, head, missing_key)
        return exchange
    wanted = "text/event-stream" if exchange.request.stream else "application/json"
    if head.content_type != wanted:
        said = head.content_type or "none"
        exchange.failure = flight.failure or Failure("content_type", f"the content type is {said}, not {wanted}")
        return exchange
    body = _read_stream(flight) if head.streams else _read_document(flight)
    _take(exchange, flight, body, arrivals)
    exchange.failure = body.failure or flight.failure or _incomplete(exchange, body)
    return exchange


def _arrivals(reads: list[Read], sent_ns: int, offsets: Offsets | None) -> list[Arrival]:
    found = []
    before_ns = sent_ns
    for after_ns, read_ns, ancillary, _ in reads:
        stamp = arrival(ancillary, read_ns, offsets) if offsets is not None else None
        at_ns = read_ns if stamp is None else stamp
        since_ns = min(max(after_ns, before_ns), at_ns)
        found.append(Arrival(at_ns, since_ns, read_ns - at_ns, stamp is not None))
        before_ns = read_ns
    return found


def _bodies(flight: Flight) -> Iterator[tuple[int, bytes]]:
    """The body bytes of each read, the framing taken off.

    Raises:
        Malformed: the framing is wrong.
    """
    head = flight.head
    assert head is not None
    skip = 0 if flight.unframed else flight.body_at
    framing = Dechunker() if head.chunked and not flight.unframed else None
    for number, (_, _, _, data) in enumerate(flight.reads):
        if skip >= len(data):
            skip -= len(data)
            continue
        body, skip = data[skip:] if skip else data, 0
        yield number, body if framing is None else framing.feed(body)
    if framing is not None and flight.failure is None and not framing.ended:
        raise Malformed("the last chunk is missing though the stream seemed to end")


def _refused(flight: Flight, head: Head, missing_key: str | None) -> Failure:
    try:
        body = b"".join(data for _, data in _bodies(flight))
    except Malformed as error:
        body = str(error).encode()
    return refusal(head.status, body, head.retry_after, missing_key)


def _read_stream(flight: Flight) -> _Body:
    body = _Body()
    events = EventReader()
    number = 0
    try:
        for number, data in _bodies(flight):
            for event in events.feed(data, number):
                _read_event(event, body)
        if flight.failure is None:
            for event in events.flush(number):
                _read_event(event, body)
    except (Malformed, _NotJsonError) as error:
        body.failure = body.failure or Failure("malformed", str(error))
    return body


class _NotJsonError(ValueError):
    """An event's data, or the answer, is no JSON object."""


def _read_event(event: Event, body: _Body) -> None:
    if event.data == _DONE:
        body.done = True
        return
    content = read_chunk(_parse(event.data))
    if content.error is not None:
        body.failure = body.failure or content.error
    body.contents.append((content, event.read))


def _read_document(flight: Flight) -> _Body:
    body = _Body()
    if flight.failure is not None:
        return body
    try:
        content = read_chunk(_parse(b"".join(data for _, data in _bodies(flight))))
    except (Malformed, _NotJsonError) as error:
        body.failure = Failure("malformed", str(error))
        return body
    body.done = True
    body.failure = content.error
    body.contents.append((content, len(flight.reads) - 1))
    return body


def _parse(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode().lstrip()
        found, end = _decode(text)
    except (ValueError, RecursionError) as error:
        raise _NotJsonError(f"no JSON: {error}: {data[:_SHOWN]!r}") from None
    if not isinstance(found, dict) or (end != len(text) and text[end:].strip()):
        raise _NotJsonError(f"not one JSON object: {data[:_SHOWN]!r}")
    return found


def _take(exchange: Exchange, flight: Flight, body: _Body, arrivals: list[Arrival]) -> None:
    """Puts the contents into the exchange; those without text only count."""
    ends = [read for _, read in body.contents]
    so_far: int | None = 0
    last_read = -1
    for at, (content, read) in enumerate(body.contents):
        if content.usage is not None:
            exchange.usage = _counted(exchange.usage, content.usage)
        exchange.server = content.timings or exchange.server
        exchange.finish_reason = content.finish_reason or exchange.finish_reason
        if content.kind is None:
            continue
        arrival = arrivals[read]
        tokens, so_far = _tokens(content, so_far)
        if len(ends) == 1 and not flight.exchange.request.stream and exchange.usage is not None:
            tokens = exchange.usage.output
        doubtful = read == last_read or _may_be_older(flight, arrival, read, follows=read in ends[at + 1 : at + 2])
        last_read = read
        piece = Piece(arrival.at_ns, arrival.since_ns, arrival.lag_ns, doubtful, content.kind, content.text, tokens)
        exchange.pieces.append(piece)


def _may_be_older(flight: Flight, arrival: Arrival, read: int, *, follows: bool) -> bool:
    """Whether a piece may have come before the stamp of its read, which is that of the read's newest byte."""
    if read in flight.single or arrival.at_ns - arrival.since_ns <= NEAR_NS:
        return False
    return follows or not flight.reads[read][3].endswith((b"\n", b"}"))


def _tokens(content: Content, so_far: int | None) -> tuple[int | None, int | None]:
    """The tokens of this piece and of all up to it; from the running total where each chunk brings one."""
    if content.so_far is None:
        return content.tokens, None
    if content.tokens is not None or so_far is None:
        return content.tokens, content.so_far
    return content.so_far - so_far, content.so_far


def _counted(before: Usage | None, now: Usage) -> Usage:
    """The later counts, with what only an earlier chunk said."""
    if before is None:
        return now
    reasoning = before.reasoning if now.reasoning is None else now.reasoning
    return now._replace(reasoning=reasoning, cached=before.cached if now.cached is None else now.cached)


def _incomplete(exchange: Exchange, body: _Body) -> Failure | None:
    """Why an answer that came in good order is not whole."""
    if not body.done and exchange.finish_reason is None:
        return Failure("cut_off", f"the stream ended after {len(exchange.pieces)} pieces without saying so")
    if not exchange.pieces and not (exchange.usage and exchange.usage.output):
        return Failure("empty", "the answer holds no token")
    return None
