"""The times in one exchange, each from what arrived when; None where the exchange cannot tell."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from harness.llm.exchange import Exchange, Piece

_MS = 1e6
# Of the tokens of an answer, this share may have come without a chunk of their own (the end of the text, halves of a
# character that the server held back) while its chunks still are taken for single tokens.
_UNSEEN_SHARE = 0.05


@dataclass(frozen=True)
class Gap:
    """The pause before the pieces of one read, in an answer that had begun."""

    ms: float
    position: int  # index of the first of these pieces among all of the answer
    pieces: int

    @property
    def is_single(self) -> bool:
        """Whether one piece alone came after the pause; else it is not known how the pieces divide it."""
        return self.pieces == 1


def first_ms(exchange: Exchange, since_ns: int) -> float | None:
    """Until the first piece of a streamed answer, reasoning included."""
    if not exchange.request.stream or not exchange.pieces:
        return None
    return (exchange.pieces[0].at_ns - since_ns) / _MS


def first_answer_ms(exchange: Exchange, since_ns: int) -> float | None:
    """Until the first piece that is no reasoning; None for a model that does not reason, whose first token it is."""
    if not exchange.request.stream or all(piece.kind != "reasoning" for piece in exchange.pieces):
        return None
    return next(((piece.at_ns - since_ns) / _MS for piece in exchange.pieces if piece.kind != "reasoning"), None)


def whole_ms(exchange: Exchange, since_ns: int) -> float:
    """Until the last byte."""
    return (exchange.ended_ns - since_ns) / _MS


def per_token_ms(exchange: Exchange) -> float | None:
    """(End-to-end − TTFT) / (output tokens − 1), which says what each token after the first one costs."""
    first = first_ms(exchange, exchange.sent_ns)
    tokens = exchange.usage.output if exchange.usage else 0
    return None if first is None or tokens < 2 else (whole_ms(exchange, exchange.sent_ns) - first) / (tokens - 1)


def gaps(exchange: Exchange) -> Iterator[Gap]:
    """The pauses between reads: pieces that came in one read have one arrival, and no gap between them is invented.

    The first read ends the wait for the first token and is no gap.
    """
    reads = [list(pieces) for _, pieces in groupby(exchange.pieces, key=_arrival)]
    position = 0
    for before, after in pairwise(reads):
        position += len(before)
        blurred = len(after) > 1 or after[0].coalesced
        pieces = max(len(after), 2) if blurred else 1
        yield Gap((after[0].at_ns - before[-1].at_ns) / _MS, position, pieces)


def _arrival(piece: Piece) -> int:
    return piece.at_ns


def token_gaps(exchange: Exchange) -> Iterator[Gap]:
    """The pauses that are each the time of one token: none where a chunk or a read may hold several tokens."""
    if not has_token_chunks(exchange):
        return
    for gap in gaps(exchange):
        tokens = exchange.pieces[gap.position].tokens
        if gap.is_single and (tokens is None or tokens == 1):
            yield gap


def has_token_chunks(exchange: Exchange) -> bool:
    """Whether each chunk is one token: by the engine's own count, else if as many chunks came as the usage has tokens.

    Without either it is not known, and nothing is called the time of a token.
    """
    if all(piece.tokens is not None for piece in exchange.pieces):
        return True
    if exchange.usage is None:
        return False
    tokens = exchange.usage.output
    return len(exchange.pieces) >= tokens - max(1.0, _UNSEEN_SHARE * tokens)


def outside_model_ms(exchange: Exchange) -> float | None:
    """What the server's own prompt and token times do not explain: queue, template, network, client."""
    timings = exchange.server
    if timings is None or timings.prompt_ms is None or timings.predicted_ms is None:
        return None
    return whole_ms(exchange, exchange.sent_ns) - timings.prompt_ms - timings.predicted_ms
