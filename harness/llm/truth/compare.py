"""What a client reported, held against what the truth server logged: the client's own errors, sample by sample."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.llm.exchange import Exchange, Piece
from harness.llm.truth.log import Sent, Stream, Truth
from harness.measure.stats import percentile

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass
class Errors:
    """Sizes of errors, without their signs but for `arrival_us`; each list holds a number per piece or request."""

    arrival_us: list[float] = field(
        default_factory=list
    )  # the stamp of a piece minus its logged sending, where it is not coalesced
    ttft_ms: list[float] = field(default_factory=list)
    itl_ms: list[float] = field(default_factory=list)  # of gaps between pieces that are not coalesced
    tpot_ms: list[float] = field(default_factory=list)
    e2e_ms: list[float] = field(default_factory=list)
    added_ms: list[float] = field(default_factory=list)  # what the client added to a cycle: intended to ended
    service_ms: list[float] = field(default_factory=list)  # of the server: request arrived to last write
    dispatch_late_ms: list[float] = field(default_factory=list)  # intended to sent
    lag_us: list[float] = field(default_factory=list)  # arrival to read: the error of a client with its own clock
    server_late_us: list[float] = field(default_factory=list)  # due to written
    pieces: int = 0
    coalesced: int = 0
    reads: int = 0  # at least so many, by their different times


class WrongAnswerError(ValueError):
    """What the client read is not what the server sent."""


def compare(exchanges: Iterable[Exchange], truth: Truth) -> Errors:
    """The errors of every whole answer whose request named a `truth_key`.

    The tokens' own numbers tell which write a piece belongs to, so that a lost or doubled one is found.

    Raises:
        WrongAnswerError: a token is missing, is there twice, or came before it was sent.
    """
    errors = Errors()
    streams = truth.by_key()
    for exchange in exchanges:
        stream = streams.get(exchange.request.extra.get("truth_key", -1))
        if exchange.ok and stream is not None and exchange.pieces:
            _add(errors, exchange, stream)
    return errors


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest of some errors; nothing for none."""
    if not values:
        return {}
    ordered = sorted(values)
    return {**{name: percentile(ordered, q) for name, q in QUANTILES.items()}, "max": ordered[-1]}


def _add(errors: Errors, exchange: Exchange, stream: Stream) -> None:
    pieces = exchange.pieces
    writes = _writes(exchange, stream)
    errors.pieces += len(pieces)
    errors.reads += len({piece.at_ns for piece in pieces})
    errors.coalesced += sum(piece.coalesced for piece in pieces)
    errors.arrival_us += [(p.at_ns - w.before_ns) / 1e3 for p, w in zip(pieces, writes, strict=True) if not p.coalesced]
    errors.lag_us += [piece.lag_ns / 1e3 for piece in pieces]
    errors.server_late_us += [write.late_ns / 1e3 for write in stream.sent]
    gaps = zip(pieces, pieces[1:], writes, writes[1:], strict=False)
    errors.itl_ms += [_itl(p, q, v, w) for p, q, v, w in gaps if not q.coalesced]
    e2e_ns, true_e2e_ns = exchange.ended_ns - exchange.sent_ns, stream.last_ns - stream.arrived_ns
    ttft_ns = pieces[0].at_ns - exchange.sent_ns
    errors.ttft_ms.append(abs(ttft_ns - stream.ttft_ns) / 1e6)
    errors.e2e_ms.append(abs(e2e_ns - true_e2e_ns) / 1e6)
    if stream.tokens > 1:
        decode_ns = (e2e_ns - ttft_ns) - (true_e2e_ns - stream.ttft_ns)
        errors.tpot_ms.append(abs(decode_ns) / (stream.tokens - 1) / 1e6)
    errors.service_ms.append(true_e2e_ns / 1e6)
    errors.added_ms.append((exchange.ended_ns - exchange.intended_ns - true_e2e_ns) / 1e6)
    errors.dispatch_late_ms.append((exchange.sent_ns - exchange.intended_ns) / 1e6)


def _itl(piece: Piece, following: Piece, write: Sent, later: Sent) -> float:
    return abs((following.at_ns - piece.at_ns) - (later.before_ns - write.before_ns)) / 1e6


def _writes(exchange: Exchange, stream: Stream) -> list[Sent]:
    """The write that each piece came in."""
    found: list[Sent] = []
    numbers = {sent.token: at for at, sent in enumerate(stream.sent)}
    expected, at = 0, 0
    for piece in exchange.pieces:
        tokens = [int(word[1:]) for word in piece.text.split()]
        if tokens != list(range(expected, expected + len(tokens))):
            raise WrongAnswerError(f"request {exchange.index}: found {piece.text!r} where t{expected} was next")
        at = numbers.get(expected, at)
        if piece.at_ns < stream.sent[at].before_ns:
            early_us = (stream.sent[at].before_ns - piece.at_ns) / 1e3
            raise WrongAnswerError(
                f"request {exchange.index}: t{expected} arrived {early_us:.1f} us before it was sent"
            )
        found.append(stream.sent[at])
        expected += len(tokens)
    if expected != stream.tokens:
        raise WrongAnswerError(f"request {exchange.index}: {expected} of {stream.tokens} tokens arrived")
    return found


def by_name(errors: Errors) -> Mapping[str, Sequence[float]]:
    """The errors that a result states, by the metric that each belongs to."""
    return {
        "llm.ttft_ms": errors.ttft_ms,
        "llm.itl_ms": errors.itl_ms,
        "llm.tpot_ms": errors.tpot_ms,
        "llm.e2e_ms": errors.e2e_ms,
    }
