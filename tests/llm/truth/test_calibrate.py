import time

import pytest

from harness.errors import BenchmarkFailed
from harness.llm.schedule import Closed, Open
from harness.llm.truth.calibrate import Calibration, calibrate
from harness.llm.wire import stamps
from harness.llm.wire.client import HttpClient
from harness.llm.wire.reading import Reading
from harness.llm.wire.target import Target

SECONDS = 0.3


def client(url: str, **options: bool) -> HttpClient:
    return HttpClient(Target.of(url), **options)


def found(schedule: Closed | Open, gap_ms: float = 6.0, **options: bool) -> Calibration:
    made = calibrate(
        lambda url: client(url, **options), schedule, tokens=40, ttft_ms=200.0, gap_ms=gap_ms, seconds=SECONDS
    )
    assert made.notes == () or not made.stamped
    return made


def test_it_states_an_error_for_each_metric_and_what_it_replayed() -> None:
    made = found(Closed((0, 0, 0, 0)))
    names = {"llm.ttft_ms", "llm.itl_ms", "llm.tpot_ms", "llm.e2e_ms", "llm.requests_per_s"}
    assert set(made.plus_minus) == names
    assert all(value >= 0 for value in made.plus_minus.values())
    assert made.requests >= 8
    assert 2 <= made.tokens < 40
    assert made.plus_minus["llm.ttft_ms"] == made.errors["llm.ttft_ms"]["p95"]
    assert made.highest_rate_per_s == pytest.approx(made.highest_tokens_per_s / 40)
    assert made.highest_tokens_per_s > 0
    assert made.as_attributes()["errors"]["llm.itl_ms"]["p50"] >= 0


def test_a_rate_is_stated_for_the_real_length_of_an_answer() -> None:
    made = found(Closed((0, 0)))
    rate = 2e3 / (200 + 6 * 39)
    assert made.plus_minus["llm.requests_per_s"] == pytest.approx(made.rate_error * rate)


def test_an_open_loop_replays_the_first_times_of_the_load() -> None:
    offsets = tuple(10_000_000 * n for n in range(1000))
    made = found(Open(offsets))
    assert made.requests == 31
    assert made.dispatch_late_ms["p50"] >= 0
    sparse = found(Open(tuple(10_000_000_000 * n for n in range(50))))
    assert sparse.requests == 8


@pytest.mark.skipif(not stamps.offered(), reason="this system does not stamp")
def test_a_client_that_reads_late_states_it_only_with_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap: the client's own lateness, which no tool states. The reader is held up after each turn by a busy loop."""
    turn = Reading._turn

    def slow_turn(reading: Reading) -> None:
        turn(reading)
        until = time.monotonic_ns() + 3_000_000
        while time.monotonic_ns() < until:
            pass

    monkeypatch.setattr(Reading, "_turn", slow_turn)
    users = Closed((0, 700_000, 1_400_000, 2_100_000))
    stamped, unstamped = found(users, 20.0), found(users, 20.0, stamps=False)
    assert stamped.stamped
    assert not unstamped.stamped
    assert "reader's own clock" in unstamped.notes[0]
    assert unstamped.plus_minus["llm.ttft_ms"] > 5 * stamped.errors["llm.ttft_ms"]["p50"]
    assert unstamped.plus_minus["llm.itl_ms"] > 5 * stamped.errors["llm.itl_ms"]["p50"]
    assert stamped.lag_us["p95"] > 500


def test_a_client_that_loses_tokens_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = HttpClient.exchange

    def forgetful(self: HttpClient, *arguments: object, **options: object) -> object:
        done = exchange(self, *arguments, **options)  # type: ignore[arg-type]
        del done[0].pieces[1]
        return done

    monkeypatch.setattr(HttpClient, "exchange", forgetful)
    with pytest.raises(BenchmarkFailed, match="where t1 was next"):
        found(Closed((0,)))


def test_it_keeps_to_its_time_and_to_a_cancel() -> None:
    made = found(Closed((0,)))
    assert made.seconds < 10.0
    with pytest.raises(BenchmarkFailed, match="cancelled"):
        calibrate(client, Closed((0,)), tokens=400, ttft_ms=100, gap_ms=50.0, seconds=60.0, cancelled=lambda: True)
