from pathlib import Path
from typing import Any

import pytest

from harness.errors import BenchmarkFailed
from harness.llm.wire import stamps
from harness.llm.wire.client import HttpClient
from harness.scenarios.bench.llm_client import LlmClient
from tests.scenarios.contexts import Hand, by_hand

SMALL: dict[str, Any] = {
    "streams": [1, 4],
    "waves": 2,
    "tokens": 5,
    "ttft_ms": 8.0,
    "gap_ms": 4.0,
    "open_requests": 12,
    "open_rate_per_s": 400.0,
    "realtime_server": False,
    "kernel_stamps": True,
    "command": [],
}
FIRST_TOKEN = ["scenario=llm_first_token", "llm=openai", "measure.warmup=0", "measure.iterations=1"]


def measured(folder: Path, **changed: Any) -> Hand:
    hand = by_hand(folder)
    one = LlmClient(**{**SMALL, **changed})
    try:
        one.setup(hand.context)
        one.iterate(hand.context)
    finally:
        one.teardown()
    return hand


def test_the_worst_number_of_streams_is_recorded(tmp_path: Path) -> None:
    hand = measured(tmp_path)
    cells = {said["streams"]: said for name, said in hand.events if name == "bench.llm.cell"}
    assert set(cells) == {1, 4}
    assert len(hand.values("bench.llm.ttft_error_ms")) in (2, 8)  # answers of one of the two
    assert hand.values("bench.llm.rate_error") == [max(cell["rate_error"] for cell in cells.values())]
    assert hand.values("bench.llm.ttft_error_ms.p50") == [max(cell["ttft_ms"]["p50"] for cell in cells.values())]
    assert [cell["pieces"] for cell in cells.values()] == [10, 40]
    assert min(hand.values("bench.llm.arrival_error_us")) >= 0


def test_the_cost_of_a_token_is_that_of_many_streams(tmp_path: Path) -> None:
    assert measured(tmp_path).values("bench.llm.cpu_us_per_token") == []
    (cost,) = measured(tmp_path, streams=[32], waves=1).values("bench.llm.cpu_us_per_token")
    assert cost > 0


def test_the_open_loop_is_never_early(tmp_path: Path) -> None:
    late = measured(tmp_path).values("bench.llm.dispatch_late_ms")
    assert len(late) == 12
    assert min(late) >= 0


@pytest.mark.skipif(not stamps.offered(), reason="this system does not stamp")
def test_it_says_what_the_machine_offers(tmp_path: Path) -> None:
    for kernel in (True, False):
        (said,) = [said for name, said in measured(tmp_path, kernel_stamps=kernel).events if name == "bench.llm.server"]
        assert said["kernel_stamps"] == kernel


def test_a_client_that_fails_is_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(self: HttpClient) -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr(HttpClient, "_where", closed)
    with pytest.raises(BenchmarkFailed, match="of 2 requests failed"):
        measured(tmp_path)


@pytest.mark.slow
def test_a_whole_command_is_timed_beyond_its_measured_iterations(tmp_path: Path) -> None:
    hand = measured(tmp_path, command=FIRST_TOKEN)
    (fixed_s,) = hand.values("bench.llm.fixed_s")
    assert fixed_s > 0
