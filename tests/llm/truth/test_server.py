import json
import os
import select
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from harness.errors import BenchmarkFailed
from harness.llm.schedule import Closed
from harness.llm.truth import build
from harness.llm.truth.compare import compare
from harness.llm.truth.log import Truth, read_log
from harness.llm.truth.server import TruthServer
from tests.llm.wire.asking import asks, exchanged

PLAN = {"ttft_us": 8000, "gap_us": 3000}
KINDS = [pytest.param(False, id="compiled"), pytest.param(True, id="python")]


@pytest.fixture(params=KINDS)
def interpreted(request: pytest.FixtureRequest) -> bool:
    if not request.param and build.compiled()[0] is None:
        pytest.skip("there is no compiler")
    return bool(request.param)


def log_of(interpreted: bool, **plan: int | str) -> tuple[TruthServer, Truth]:
    with TruthServer({**PLAN, **plan}, interpreted=interpreted) as server:
        done = exchanged(server.url, [asks(key, tokens=6) for key in range(4)], Closed((0, 0)))
        assert all(one.ok for one in done), done[0].failure
        return server, server.truth()


def test_every_token_is_due_at_its_time_and_never_sent_before_it(interpreted: bool) -> None:
    server, truth = log_of(interpreted)
    assert server.interpreted == truth.interpreted == interpreted
    assert sorted(truth.by_key()) == [0, 1, 2, 3]
    assert truth.dropped == 0
    for stream in truth.streams.values():
        due = [sent.due_ns - stream.arrived_ns for sent in stream.sent]
        assert due == [8_000_000 + 3_000_000 * n for n in range(6)]
        assert all(sent.due_ns <= sent.before_ns <= sent.after_ns for sent in stream.sent)
        assert stream.arrived_ns <= stream.read_ns <= stream.sent[0].before_ns
        assert stream.end is not None
        assert stream.last_ns == stream.end.before_ns >= stream.sent[-1].before_ns


def test_stalls_come_before_their_tokens(interpreted: bool) -> None:
    _, truth = log_of(interpreted, stalls="2:7000,4:9000")
    for stream in truth.streams.values():
        due = [(sent.due_ns - stream.arrived_ns) // 1_000_000 for sent in stream.sent]
        assert due == [8, 11, 14 + 7, 17 + 7, 20 + 16, 23 + 16]


def test_writes_hold_as_many_tokens_as_asked(interpreted: bool) -> None:
    _, truth = log_of(interpreted, per_write=2, per_chunk=2)
    assert [[sent.token for sent in stream.sent] for stream in truth.streams.values()] == [[0, 4]] * 4


def test_a_request_may_change_the_plan(interpreted: bool) -> None:
    with TruthServer(PLAN, interpreted=interpreted) as server:
        asked = asks(9, tokens=3, truth_ttft_us=1000, truth_gap_us=2000, truth_tail_joined=1)
        (found,) = exchanged(server.url, [asked])
        stream = server.truth().by_key()[9]
    assert found.ok
    assert [sent.due_ns - stream.arrived_ns for sent in stream.sent] == [1_000_000, 3_000_000, 5_000_000]
    assert stream.end is None


def test_answers_may_come_whole_and_by_the_completions_endpoint(interpreted: bool) -> None:
    with TruthServer(PLAN, interpreted=interpreted) as server:
        whole, plain, plain_stream = exchanged(
            server.url,
            [
                asks(1, tokens=3, stream=False),
                asks(2, tokens=3, stream=False, endpoint="completions"),
                asks(3, tokens=3, endpoint="completions"),
            ],
        )
        compare([plain_stream], server.truth())
    for one in (whole, plain, plain_stream):
        assert one.ok, one.failure
        assert one.text == " t0 t1 t2"
        assert one.usage is not None
        assert (one.usage.input, one.usage.output) == (3, 3)
    assert whole.pieces[0].tokens == 3


def test_it_says_what_it_is_and_counts_words(interpreted: bool) -> None:
    with TruthServer(PLAN, interpreted=interpreted) as server:
        root = server.url.removesuffix("/v1")
        assert json.loads(urlopen(f"{root}/health").read()) == {"status": "ok"}
        assert json.loads(urlopen(f"{server.url}/models").read())["data"][0]["id"] == "truth"
        body = json.dumps({"content": "three short words"}).encode()
        assert len(json.loads(urlopen(f"{root}/tokenize", body).read())["tokens"]) == 3


def test_a_log_without_room_says_how_much_is_missing(interpreted: bool) -> None:
    with TruthServer(PLAN, records=4, interpreted=interpreted) as server:
        exchanged(server.url, [asks(1, tokens=6)])
        truth = server.truth()
    assert truth.dropped == 1 + 6 + 1 - 4
    assert len(truth.by_key()[1].sent) == 3


def test_a_plan_that_is_not_understood_is_said(interpreted: bool) -> None:
    with pytest.raises(BenchmarkFailed, match="not understood: speed"):
        TruthServer({"speed": 9}, interpreted=interpreted)


def test_it_ends_with_its_block_and_leaves_nothing(interpreted: bool) -> None:
    with TruthServer(PLAN, interpreted=interpreted) as server:
        pid, folder = server.pid, server.log_path.parent
        end = os.pidfd_open(pid)
    assert select.select([end], [], [], 10.0)[0]
    os.close(end)
    assert not folder.exists()
    server.close()


def test_without_a_compiler_the_python_server_answers_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(build.FORCED_OFF, "1")
    with TruthServer(PLAN) as server:
        assert server.interpreted
        assert "no C compiler" in server.why_interpreted
        assert exchanged(server.url, [asks(1)])[0].ok


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "server.c"
    broken.write_text("int main(void) { return this_is_not_there; }")
    monkeypatch.setattr(build, "SOURCE", broken)
    program, why = build.compiled(tmp_path)
    assert program is None
    assert "this_is_not_there" in why
    assert [path.name for path in tmp_path.iterdir()] == ["server.c"]


def test_the_program_is_compiled_once(tmp_path: Path) -> None:
    first, why = build.compiled(tmp_path)
    if first is None:
        pytest.skip(why)
    made = first.stat().st_mtime_ns
    second, _ = build.compiled(tmp_path)
    assert second == first
    assert second.stat().st_mtime_ns == made


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"x" * 100):
        (tmp_path / "log").write_bytes(content)
        with pytest.raises(ValueError, match="no log of a truth server"):
            read_log(tmp_path / "log")


def test_clocks_of_server_and_client_are_one() -> None:
    before = time.monotonic_ns()
    _, truth = log_of(False)
    after = time.monotonic_ns()
    assert all(before < stream.arrived_ns < after for stream in truth.streams.values())
