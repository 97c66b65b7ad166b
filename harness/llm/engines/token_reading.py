"""What the tokens of an engine in this process say, put into an exchange."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from harness.llm.engines.call import Noted
from harness.llm.exchange import Exchange, Failure, Piece, ServerTimings, Usage

_UNFINISHED = "\ufffd"  # what a decoder gives for a character whose last bytes are still to come


class Ended(NamedTuple):
    """What is noted behind the last token."""

    input_tokens: int
    started_ns: int  # when its own turn came
    queue_ns: int


def read_tokens(exchange: Exchange, noted: Sequence[Noted], tokenizer: Any, ends: frozenset[int | None]) -> None:
    """Fills in pieces, usage, timings and finish reason from token numbers.

    A token that only begins a character makes no piece of its own: the piece of the one that completes it counts both.
    """
    tokens = [each for each in noted if not isinstance(each.chunk, Ended)]
    exchange.pieces = list(_pieces(exchange.sent_ns, tokens, tokenizer))
    closing = noted[-1].chunk if noted and isinstance(noted[-1].chunk, Ended) else None
    if closing is None:
        return  # it failed, or was ended from outside: the failure is there already
    exchange.usage = Usage(closing.input_tokens, len(tokens), "tokenizer", None, 0)
    if not tokens:
        exchange.failure = exchange.failure or Failure("empty", "the answer holds no token")
        return
    exchange.finish_reason = "stop" if tokens[-1].chunk in ends else "length"
    exchange.server = ServerTimings(
        (tokens[0].at_ns - closing.started_ns) / 1e6, (tokens[-1].at_ns - tokens[0].at_ns) / 1e6, closing.queue_ns / 1e6
    )
    if not exchange.request.stream:
        _merge(exchange)


def _pieces(sent_ns: int, tokens: Sequence[Noted], tokenizer: Any) -> Iterator[Piece]:
    """Decodes along a window: one clean stretch before the new tokens, because a space may belong to what precedes."""
    numbers = [each.chunk for each in tokens]
    before = clean = 0
    since_ns = sent_ns
    for at, (at_ns, _) in enumerate(tokens):
        known = tokenizer.decode(numbers[before:clean], skip_special_tokens=True)
        text = tokenizer.decode(numbers[before : at + 1], skip_special_tokens=True)
        if len(text) > len(known) and not text.endswith(_UNFINISHED):
            yield Piece(at_ns, since_ns, 0, False, "text", text[len(known) :], at + 1 - clean)
            before, clean = clean, at + 1
        since_ns = at_ns


def _merge(exchange: Exchange) -> None:
    """Without streaming, everything came at once, at the end."""
    assert exchange.usage is not None
    text = "".join(piece.text for piece in exchange.pieces)
    at_ns = exchange.headers_ns = exchange.ended_ns
    if text:
        exchange.pieces = [Piece(at_ns, exchange.sent_ns, 0, False, "text", text, exchange.usage.output)]
