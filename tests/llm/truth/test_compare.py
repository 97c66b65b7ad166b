import pytest

from harness.llm.exchange import Exchange, Piece
from harness.llm.truth.compare import Errors, WrongAnswerError, compare, quantiles
from harness.llm.truth.log import Sent, Stream, Truth
from tests.llm.wire.asking import asks

MS = 1_000_000


def truth(tokens: int = 3) -> Truth:
    """A request that arrived at 10 ms, tokens from 20 ms on, 5 ms apart, the end right behind."""
    sent = [Sent(n, (20 + 5 * n) * MS, (20 + 5 * n) * MS + 1000, (20 + 5 * n) * MS + 9000) for n in range(tokens)]
    end = Sent(tokens, sent[-1].due_ns, sent[-1].before_ns + 20_000, sent[-1].after_ns + 20_000)
    return Truth({4: Stream(7, 10 * MS, 10 * MS + 50_000, tokens, sent, end)}, 0, True, False, False)


def answer(
    *arrivals_us: float, sent_us: float = 0.0, texts: tuple[str, ...] = (), coalesced: tuple[int, ...] = ()
) -> Exchange:
    """Pieces that came so many microseconds after their sending; sent so long before the arrival."""
    log = truth(len(arrivals_us)).streams[4]
    found = Exchange(0, asks(7), intended_ns=10 * MS - int(sent_us * 1e3) - 3000)
    found.sent_ns = found.intended_ns + 3000
    for n, (late_us, sent) in enumerate(zip(arrivals_us, log.sent, strict=True)):
        at = sent.before_ns + int(late_us * 1e3)
        found.pieces.append(Piece(at, at - MS, 40_000, n in coalesced, "text", (texts or (" t0", " t1", " t2"))[n]))
    found.ended_ns = log.last_ns + 5000
    return found


def errors_of(exchange: Exchange) -> Errors:
    return compare([exchange], truth(len(exchange.pieces)))


def test_each_error_is_what_the_client_said_against_what_was() -> None:
    found = errors_of(answer(4, 4, 14, sent_us=12))
    assert found.arrival_us == [4, 4, 14]
    assert found.ttft_ms == [pytest.approx(0.016)]
    assert found.itl_ms == [0, pytest.approx(0.010)]
    assert found.e2e_ms == [pytest.approx(0.017)]
    assert found.tpot_ms == [pytest.approx(0.0005)]
    assert found.lag_us == [40, 40, 40]
    assert found.server_late_us == [1, 1, 1]
    assert found.dispatch_late_ms == [pytest.approx(0.003)]
    assert found.added_ms == [pytest.approx(0.020)]


def test_gaps_to_coalesced_pieces_are_not_counted() -> None:
    found = errors_of(answer(5004, 4, 4, coalesced=(0,)))
    assert found.itl_ms == [5.0, 0]
    assert found.arrival_us == [4, 4]
    found = errors_of(answer(4, 5004, 4, coalesced=(1,)))
    assert found.itl_ms == [pytest.approx(5.0)]
    assert (found.pieces, found.coalesced) == (3, 1)


@pytest.mark.parametrize("texts", [(" t0", " t2", " t3"), (" t0", " t0", " t1"), (" t0", " t1", " t2 t3")])
def test_a_lost_or_doubled_token_is_found(texts: tuple[str, ...]) -> None:
    with pytest.raises(WrongAnswerError):
        errors_of(answer(4, 4, 4, texts=texts))


def test_a_token_that_came_before_it_was_sent_is_found() -> None:
    with pytest.raises(WrongAnswerError, match="before it was sent"):
        errors_of(answer(4, -1, 4))


def test_failures_and_other_requests_are_left_out() -> None:
    other = answer(4, 4, 4)
    other.request = asks(8)
    assert compare([other], truth()).pieces == 0


def test_quantiles_of_nothing_are_nothing() -> None:
    assert quantiles([]) == {}
    assert quantiles([3.0, 1.0, 2.0])["p50"] == 2.0
