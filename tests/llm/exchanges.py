"""Exchanges made by hand, in milliseconds from a common start."""

from collections.abc import Sequence

from harness.llm.exchange import Exchange, Failure, Kind, Piece, Reason, ServerTimings, Usage
from harness.llm.request import Message, Request, Sampling

START_NS = 1_000_000_000


def a_request(text: str = "hello", *, stream: bool = True, max_tokens: int = 8, tag: str = "") -> Request:
    """One question."""
    sampling = Sampling(temperature=0.0, seed=1, max_tokens=max_tokens, top_p=1.0)
    return Request(messages=(Message("user", text),), sampling=sampling, stream=stream, tag=tag)


def ns(ms: float) -> int:
    """A time of the common start's clock."""
    return START_NS + round(ms * 1e6)


def pieces(at_ms: Sequence[float], *, kind: Kind = "text", tokens: int | None = None) -> list[Piece]:
    """One piece at each time; those of the same time came in one read, and are marked so from the second on."""
    found = []
    before = 0.0
    for i, at in enumerate(at_ms):
        coalesced = i > 0 and at == at_ms[i - 1]
        before = before if coalesced else (at_ms[i - 1] if i else 0.0)
        found.append(Piece(ns(at), ns(before), 1000, coalesced, kind, f"t{i} ", tokens))
    return found


def an_exchange(
    at_ms: Sequence[float] = (50, 60, 70, 80),
    *,
    index: int = 0,
    intended: float = 0,
    sent: float = 0,
    ended: float | None = None,
    usage: Usage | None = None,
    counted: bool = True,
    stream: bool = True,
    tag: str = "",
    attempt: int = 1,
    failure: Reason | None = None,
    server: ServerTimings | None = None,
) -> Exchange:
    """A request and what arrived when; `counted` gives a usage of one token a piece unless another one is given."""
    last = ended if ended is not None else (at_ms[-1] if at_ms else sent)
    exchange = Exchange(index, a_request(stream=stream, tag=tag), ns(intended), sent_ns=ns(sent), ended_ns=ns(last))
    exchange.pieces = pieces(at_ms)
    exchange.usage = usage or (Usage(10, len(at_ms), "server") if counted else None)
    exchange.attempt, exchange.server, exchange.stamped = attempt, server, True
    exchange.failure = None if failure is None else Failure(failure, "said so")
    return exchange
