"""Times from arrivals: what is a gap, what is the time of a token, and what cannot be told."""

import pytest

from harness.llm.exchange import Piece, ServerTimings, Usage
from harness.llm.latency import first_answer_ms, first_ms, gaps, outside_model_ms, per_token_ms, token_gaps, whole_ms
from tests.llm.exchanges import an_exchange, ns, pieces


def test_the_first_token_counts_from_the_time_that_is_asked_about() -> None:
    exchange = an_exchange([50, 60], intended=-30, sent=5)
    assert first_ms(exchange, exchange.sent_ns) == 45
    assert first_ms(exchange, exchange.intended_ns) == 80


def test_an_answer_that_was_not_streamed_has_no_first_token() -> None:
    assert first_ms(an_exchange([50], stream=False), ns(0)) is None


def test_every_single_token_is_one_gap() -> None:
    assert [gap.ms for gap in token_gaps(an_exchange([50, 60, 75, 80]))] == [10, 15, 5]


def test_no_gap_is_invented_between_pieces_of_one_read() -> None:
    """Trap: with two tokens in each write, halving or zeroing the gaps hides that they come in pairs."""
    exchange = an_exchange([50, 50, 70, 70, 90, 90])
    assert list(token_gaps(exchange)) == []
    assert [(gap.ms, gap.position, gap.pieces) for gap in gaps(exchange)] == [(20, 2, 2), (20, 4, 2)]


def test_a_read_that_may_hold_older_bytes_is_no_time_of_a_token() -> None:
    exchange = an_exchange([50, 60, 80])
    late = exchange.pieces[2]
    exchange.pieces[2] = late._replace(coalesced=True)
    assert [gap.ms for gap in token_gaps(exchange)] == [10]
    assert [gap.ms for gap in gaps(exchange)] == [10, 20]


def test_chunks_that_hold_several_tokens_are_no_tokens() -> None:
    """Trap: with speculative decoding a chunk holds several tokens, and its gap is not the time of one."""
    assert list(token_gaps(an_exchange([50, 60, 70, 80], usage=Usage(10, 12, "server")))) == []
    said = an_exchange([50, 60, 70])
    said.pieces = [*pieces([50, 60], tokens=1), *pieces([70], tokens=3)]
    assert [gap.ms for gap in token_gaps(said)] == [10]


def test_without_a_count_of_tokens_nothing_is_called_the_time_of_one() -> None:
    exchange = an_exchange([50, 60, 70], counted=False)
    assert list(token_gaps(exchange)) == []
    assert len(list(gaps(exchange))) == 2


def test_a_token_that_brought_no_text_does_not_spoil_the_others() -> None:
    assert len(list(token_gaps(an_exchange([50, 60, 70], usage=Usage(10, 4, "server"))))) == 2


def test_a_stall_inside_a_stream_stays_where_it_was() -> None:
    """Trap: tools that spread the time evenly over the tokens cannot see it."""
    found = list(gaps(an_exchange([50, 60, 70, 220, 230])))
    assert [gap.position for gap in found if gap.ms > 100] == [3]


def test_the_time_of_each_further_token_is_the_rest_over_the_rest() -> None:
    assert per_token_ms(an_exchange([50, 60, 70], ended=80)) == pytest.approx(15)
    assert per_token_ms(an_exchange([50])) is None
    assert per_token_ms(an_exchange([50, 60], counted=False)) is None


def test_reasoning_is_a_first_token_and_the_answer_has_its_own() -> None:
    exchange = an_exchange([50, 60, 90])
    thought: list[Piece] = [piece._replace(kind="reasoning") for piece in exchange.pieces[:2]]
    exchange.pieces[:2] = thought
    assert first_ms(exchange, exchange.sent_ns) == 50
    assert first_answer_ms(exchange, exchange.sent_ns) == 90
    assert first_answer_ms(an_exchange([50, 60]), ns(0)) is None


def test_what_the_server_does_not_explain_is_outside_the_model() -> None:
    exchange = an_exchange([50, 60], ended=75, server=ServerTimings(40.0, 20.0))
    assert outside_model_ms(exchange) == pytest.approx(15)
    assert outside_model_ms(an_exchange(server=ServerTimings(None, 20.0))) is None
    assert whole_ms(exchange, ns(0)) == 75
