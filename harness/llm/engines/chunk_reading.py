"""What the chunks of an engine in this process say, put into an exchange: the same reading as over HTTP."""

import json
from collections.abc import Sequence
from typing import Any

from harness.llm.engines.call import Noted
from harness.llm.exchange import Exchange, Failure, Piece
from harness.llm.wire.chunks import Content, read_chunk

_SHOWN = 120


def read_chunks(exchange: Exchange, noted: Sequence[Noted]) -> None:
    """Fills in pieces, usage, timings and finish reason from JSON chunks; a chunk that is none makes it malformed.

    A failure that the exchange has already stays: it was ended from outside, and the pieces until then are kept.
    """
    since_ns = exchange.sent_ns
    for at_ns, data in noted:
        content = _parse(data)
        if isinstance(content, Failure):
            exchange.failure = exchange.failure or content
            return
        exchange.failure = exchange.failure or content.error
        exchange.usage = content.usage or exchange.usage
        exchange.server = content.timings or exchange.server
        exchange.finish_reason = content.finish_reason or exchange.finish_reason
        if content.kind is not None:
            exchange.pieces.append(_piece(exchange, content, at_ns, since_ns))
        since_ns = at_ns
    exchange.failure = exchange.failure or _incomplete(exchange)


def _piece(exchange: Exchange, content: Content, at_ns: int, since_ns: int) -> Piece:
    tokens = content.tokens
    if not exchange.request.stream and content.usage is not None:
        tokens = content.usage.output  # the whole answer came at once
    assert content.kind is not None
    return Piece(at_ns, since_ns, 0, False, content.kind, content.text, tokens)


def _parse(data: Any) -> Content | Failure:
    try:
        chunk = json.loads(data)
    except ValueError as error:
        return Failure("malformed", f"no JSON: {error}: {data[:_SHOWN]!r}")
    return read_chunk(chunk) if isinstance(chunk, dict) else Failure("malformed", f"no object: {data[:_SHOWN]!r}")


def _incomplete(exchange: Exchange) -> Failure | None:
    if exchange.finish_reason is None:
        return Failure("cut_off", f"the answer ended after {len(exchange.pieces)} pieces without saying so")
    if not exchange.pieces and not (exchange.usage and exchange.usage.output):
        return Failure("empty", "the answer holds no token")
    return None
