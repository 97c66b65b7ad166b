"""When tokens arrived: the kernel's stamps, late readers, and what came together."""

import gc
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from harness.llm.exchange import Exchange, Piece
from harness.llm.schedule import Closed
from harness.llm.truth.log import Sent, Stream
from harness.llm.truth.server import TruthServer
from harness.llm.wire import answer, connection, stamps
from harness.llm.wire.body import encode
from harness.llm.wire.chunks import Content, read_chunk
from harness.llm.wire.client import HttpClient
from harness.llm.wire.target import Target
from tests.llm.wire.asking import PATIENT, asks, exchanged

GAP_US = 20_000
SLOW = {"ttft_us": GAP_US, "gap_us": GAP_US}

needs_stamps = pytest.mark.skipif(not stamps.offered(), reason="this system does not stamp")


class LateReader:
    """Holds the reading thread up once, until the server has sent so many tokens more."""

    def __init__(self, server: TruthServer, tokens: int) -> None:
        self._server, self._tokens = server, tokens
        self.began_ns = self.ended_ns = 0

    def __call__(self) -> bool:
        if self.began_ns or not (sent := self._sent()):
            return False
        self.began_ns = time.monotonic_ns()
        while self._sent() < sent + self._tokens:
            time.sleep(0.001)
        self.ended_ns = time.monotonic_ns()
        return False

    def _sent(self) -> int:
        return sum(len(stream.sent) for stream in self._server.truth().streams.values())


def read_late(tokens_late: int, *, kernel: bool) -> tuple[LateReader, list[tuple[Piece, Sent]]]:
    with TruthServer(SLOW) as server:
        late = LateReader(server, tokens_late)
        client = HttpClient(Target.of(server.url), stamps=kernel)
        request = asks(1, tokens=20)
        (found,) = client.exchange([(request, *encode(request, None))], Closed((0,)), PATIENT, late)
        client.close()
        stream = server.truth().by_key()[1]
    assert found.ok, found.failure
    assert found.stamped == kernel
    return late, list(zip(found.pieces, stream.sent, strict=True))


def while_held(late: LateReader, pieces: list[tuple[Piece, Sent]]) -> list[Piece]:
    """The pieces that were surely sent while the reader was held up."""
    return [p for p, sent in pieces if late.began_ns < sent.before_ns and sent.after_ns < late.ended_ns]


@needs_stamps
def test_a_token_that_is_read_late_arrived_when_it_arrived() -> None:
    """Trap: a client with its own clock reports its own lateness as the server's latency, without a word."""
    late, pieces = read_late(1, kernel=True)
    held = while_held(late, pieces)
    assert late.began_ns < held[-1].at_ns < late.ended_ns
    assert held[-1].at_ns + held[-1].lag_ns >= late.ended_ns
    assert held[-1].coalesced == (len(held) > 1)


def test_without_stamps_it_seems_to_arrive_when_it_is_read() -> None:
    late, pieces = read_late(1, kernel=False)
    held = while_held(late, pieces)
    assert held[-1].at_ns >= late.ended_ns
    assert held[-1].lag_ns == 0


@pytest.mark.parametrize("kernel", [pytest.param(True, marks=needs_stamps), False])
def test_tokens_that_one_late_read_brings_are_marked_and_bounded(kernel: bool) -> None:
    """Trap: of several segments in one read the kernel keeps the newest stamp, so older tokens seem to be late."""
    late, pieces = read_late(4, kernel=kernel)
    held = while_held(late, pieces)
    assert len({piece.at_ns for piece in held}) == 1
    assert all(piece.coalesced for piece in held)
    assert all(p.since_ns <= sent.after_ns and sent.before_ns <= p.at_ns for p, sent in pieces)
    misplaced = [piece for piece, sent in pieces if piece.at_ns - sent.after_ns > GAP_US * 1000 // 2]
    assert misplaced
    if kernel:  # by the reader's own clock a token that is read late alone is misplaced too, and nothing shows it
        assert all(piece.coalesced for piece in misplaced)


def answered(plan: dict[str, int | str], tokens: int = 8) -> tuple[Exchange, Stream]:
    with TruthServer({**SLOW, **plan}) as server:
        (found,) = exchanged(server.url, [asks(1, tokens=tokens)])
        return found, server.truth().by_key()[1]


@needs_stamps
def test_a_role_in_the_write_of_the_first_token_is_no_token_and_blurs_nothing() -> None:
    """Trap: llama.cpp sends the role chunk in the same write as the first token; counted, it halves the first gap."""
    found, stream = answered({"role": 2})
    assert [piece.text for piece in found.pieces] == [f" t{n}" for n in range(8)]
    first = found.pieces[0]
    assert stream.sent[0].before_ns <= first.at_ns
    # One segment, so its stamp is that of the token; unless this host was so busy that the second came into the read.
    assert first.coalesced == (found.pieces[1].at_ns == first.at_ns)


@needs_stamps
def test_without_counting_segments_a_token_that_ends_its_read_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_INFO", None)
    found, _ = answered({"role": 2})
    assert len(found.pieces) == 8
    reads = Counter(piece.at_ns for piece in found.pieces)
    alone = [piece for piece in found.pieces[:-1] if reads[piece.at_ns] == 1]
    assert alone
    assert not any(piece.coalesced for piece in alone)  # each ends its read, so the newest byte is its own


def test_a_role_that_comes_at_once_is_not_the_first_token() -> None:
    found, stream = answered({"role": 1})
    assert len(found.pieces) == 8
    assert found.headers_ns < stream.sent[0].before_ns <= found.pieces[0].at_ns


def test_comments_and_empty_chunks_are_no_tokens() -> None:
    found, _ = answered({"comment_every": 2, "empty_every": 3})
    assert [piece.text for piece in found.pieces] == [f" t{n}" for n in range(8)]


@needs_stamps
def test_two_chunks_in_one_write_are_two_pieces_of_one_time() -> None:
    found, stream = answered({"per_write": 2, "tail_joined": 1})
    assert [p.at_ns for p in found.pieces[::2]] == [p.at_ns for p in found.pieces[1::2]]
    assert len(stream.sent) == 4
    reads = Counter(piece.at_ns for piece in found.pieces)
    flags = [piece.coalesced for piece in found.pieces if reads[piece.at_ns] == 2]
    assert flags == [False, True] * (len(flags) // 2)
    assert flags


def test_several_tokens_in_one_chunk_are_one_piece_and_counted_by_the_server() -> None:
    """Trap: chunks counted as tokens, which speculative decoding makes wrong."""
    found, _ = answered({"per_chunk": 4})
    assert [piece.text for piece in found.pieces] == [" t0 t1 t2 t3", " t4 t5 t6 t7"]
    assert found.usage is not None
    assert found.usage.output == 8


def test_stalls_are_found_where_they_were_planted() -> None:
    found, _ = answered({"stalls": f"5:{5 * GAP_US},11:{5 * GAP_US}"}, tokens=16)
    gaps = [later.at_ns - piece.at_ns for piece, later in zip(found.pieces, found.pieces[1:], strict=False)]
    longest = sorted(range(len(gaps)), key=lambda at: gaps[at])[-2:]
    assert sorted(at + 1 for at in longest) == [5, 11]


@needs_stamps
def test_the_environment_takes_the_stamps_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(stamps.FORCED_OFF, "1")
    found, _ = answered({})
    assert found.ok
    assert not found.stamped
    assert all(piece.lag_ns == 0 for piece in found.pieces)


def test_poll_does_what_epoll_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_FORCE_POLL", "1")
    found, _ = answered({})
    assert found.ok, found.failure
    assert len(found.pieces) == 8


def test_nothing_is_collected_while_a_load_runs() -> None:
    """Trap: a garbage collection holds up the reading for milliseconds."""
    during: list[bool] = []

    def look() -> bool:
        during.append(gc.isenabled())
        return False

    with TruthServer(SLOW) as server:
        client = HttpClient(Target.of(server.url))
        request = asks(1, tokens=10)
        client.exchange([(request, *encode(request, None))], Closed((0,)), PATIENT, look)
        client.close()
    assert during
    assert not any(during)
    assert gc.isenabled()


def test_contents_are_read_when_the_load_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap: reading JSON beside the sockets makes the reader late, and late reads blur the arrivals."""
    began: list[int] = []

    def noted(chunk: Mapping[str, Any]) -> Content:
        began.append(time.monotonic_ns())
        return read_chunk(chunk)

    monkeypatch.setattr(answer, "read_chunk", noted)
    with TruthServer({"ttft_us": 1000, "gap_us": 1000}) as server:
        done = exchanged(server.url, [asks(key, tokens=4) for key in range(8)], Closed((0, 0)))
    assert len(began) >= 8 * 4
    assert min(began) > max(one.ended_ns for one in done)


@pytest.mark.parametrize("reuse", [True, False])
def test_connections_are_kept_or_made_anew(reuse: bool) -> None:
    with TruthServer({"ttft_us": 1000, "gap_us": 1000}) as server:
        done = exchanged(server.url, [asks(key, tokens=2) for key in range(6)], Closed((0, 0)), reuse=reuse)
    assert all(one.ok for one in done)
    made = [one for one in done if one.connected_ns]
    assert len(made) == (0 if reuse else 6)
    assert all(one.connected_ns <= one.sent_ns for one in made)
