"""Tokens become pieces, each with the time of the token that completed it."""

from collections.abc import Sequence

from harness.llm.engines.call import Noted
from harness.llm.engines.token_reading import Ended, read_tokens
from harness.llm.exchange import Exchange, Failure
from tests.llm.engines.asking import request

END = 256


class Bytes:
    """A tokenizer whose tokens are bytes, and one mark for the end."""

    def decode(self, numbers: Sequence[int], skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return bytes(number for number in numbers if number != END).decode("utf-8", "replace")


def read(tokens: Sequence[int], *, ended: bool = True, stream: bool = True, failure: Failure | None = None) -> Exchange:
    exchange = Exchange(0, request(stream=stream), 0, sent_ns=100, ended_ns=10_000, failure=failure)
    noted = [Noted(1000 * (at + 1), token) for at, token in enumerate(tokens)]
    if ended:
        noted.append(Noted(9000, Ended(7, 150, 50)))
    read_tokens(exchange, noted, Bytes(), frozenset({END}))
    return exchange


def test_each_token_is_a_piece_with_its_own_time() -> None:
    exchange = read(b"hey")
    assert [(piece.text, piece.at_ns, piece.since_ns, piece.tokens) for piece in exchange.pieces] == [
        ("h", 1000, 100, 1),
        ("e", 2000, 1000, 1),
        ("y", 3000, 2000, 1),
    ]
    assert exchange.finish_reason == "length"
    assert exchange.usage is not None
    assert (exchange.usage.input, exchange.usage.output, exchange.usage.source) == (7, 3, "tokenizer")


def test_a_character_of_several_tokens_is_one_piece_when_it_is_complete() -> None:
    """Trap: decoding each token alone gives replacement characters, and counting pieces would count too few tokens."""
    exchange = read("a🌟b".encode())
    assert [(piece.text, piece.at_ns, piece.tokens) for piece in exchange.pieces] == [
        ("a", 1000, 1),
        ("🌟", 5000, 4),
        ("b", 6000, 1),
    ]
    assert exchange.usage is not None
    assert exchange.usage.output == 6


def test_the_mark_of_the_end_counts_and_shows_nothing() -> None:
    exchange = read([*b"hi", END])
    assert exchange.text == "hi"
    assert exchange.finish_reason == "stop"
    assert exchange.usage is not None
    assert exchange.usage.output == 3


def test_the_engines_own_times_are_those_of_its_turn() -> None:
    exchange = read(b"hey")
    assert exchange.server is not None
    assert (exchange.server.prompt_ms, exchange.server.predicted_ms, exchange.server.queue_ms) == (
        (1000 - 150) / 1e6,
        2000 / 1e6,
        50 / 1e6,
    )


def test_without_streaming_everything_comes_at_the_end() -> None:
    exchange = read(b"hey", stream=False)
    (piece,) = exchange.pieces
    assert (piece.text, piece.at_ns, piece.tokens) == ("hey", exchange.ended_ns, 3)


def test_no_token_is_an_empty_answer_and_one_given_up_keeps_its_pieces() -> None:
    empty = read(b"").failure
    assert empty is not None
    assert empty.reason == "empty"
    late = read(b"he", ended=False, failure=Failure("timeout", "late"))
    assert late.text == "he"
    assert late.usage is None
    assert late.failure is not None
    assert late.failure.reason == "timeout"
