from collections.abc import Iterator

import pytest

from harness.llm.exchange import Exchange
from harness.llm.schedule import Closed, Open
from harness.llm.truth.server import TruthServer
from tests.llm.wire.asking import asks, exchanged

QUICK = {"ttft_us": 3000, "gap_us": 2000}


@pytest.fixture(scope="module")
def server() -> Iterator[TruthServer]:
    with TruthServer(QUICK) as running:
        yield running


def words(exchange: Exchange) -> list[str]:
    return exchange.text.split()


def test_a_stream_is_given_piece_by_piece_with_usage_and_timings(server: TruthServer) -> None:
    (one,) = exchanged(server.url, [asks(1, tokens=6)])
    assert one.ok, one.failure
    assert words(one) == ["t0", "t1", "t2", "t3", "t4", "t5"]
    assert len(one.pieces) == 6
    assert one.status == 200
    assert one.finish_reason == "length"
    assert one.usage is not None
    assert (one.usage.input, one.usage.output, one.usage.source) == (3, 6, "server")
    assert one.server is not None
    assert one.server.prompt_ms == 3.0
    assert (
        one.intended_ns <= one.sent_ns < one.headers_ns <= one.pieces[0].at_ns <= one.pieces[-1].at_ns <= one.ended_ns
    )


def test_every_user_asks_again_when_his_answer_is_there(server: TruthServer) -> None:
    done = exchanged(server.url, [asks(key, tokens=3) for key in range(12)], Closed((0, 0, 0)))
    assert [one.index for one in done] == list(range(12))
    assert all(one.ok for one in done)
    under_way = [sum(a.sent_ns <= b.sent_ns < a.ended_ns for a in done) for b in done]
    assert max(under_way) <= 3


def test_an_open_loop_sends_at_its_times_and_never_early(server: TruthServer) -> None:
    offsets = tuple(2_500_000 * n for n in range(20))
    done = exchanged(server.url, [asks(key, tokens=4) for key in range(20)], Open(offsets))
    assert all(one.ok for one in done)
    assert [one.intended_ns - done[0].intended_ns for one in done] == list(offsets)
    assert all(one.sent_ns >= one.intended_ns for one in done)
