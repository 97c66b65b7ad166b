from collections import defaultdict

import pytest

from harness.llm.exchange import Exchange, ServerTimings, Usage
from harness.llm.metrics import Answered, samples_of, totals
from harness.llm.server_usage import Usage as ServerUsage
from harness.llm.slo import Slo
from harness.measure.catalogue import load_catalogue
from tests.llm.exchanges import an_exchange

REMOTE = ServerUsage(reason="not-on-this-host")


def samples(exchange: Exchange) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for name, value in samples_of(exchange):
        found[name].append(value)
    return found


def answered(*exchanges: Exchange, server: ServerUsage = REMOTE) -> Answered:
    return Answered(exchanges, server, 0.25)


def test_one_answer_gives_its_times_tokens_and_lags() -> None:
    server = ServerTimings(40.0, 20.0, 1.0)
    found = samples(an_exchange([50, 60, 70], intended=-20, ended=75, server=server))
    assert found["llm.ttft_ms"] == [50]
    assert found["llm.ttft_from_intended_ms"] == [70]
    assert found["llm.e2e_ms"] == [75]
    assert found["llm.e2e_from_intended_ms"] == [95]
    assert found["llm.itl_ms"] == found["llm.chunk_gap_ms"] == [10, 10]
    assert found["llm.tpot_ms"] == [12.5]
    assert found["llm.dispatch_late_ms"] == [20]
    assert (found["llm.input_tokens"], found["llm.output_tokens"]) == ([10], [3])
    assert found["llm.tokens_per_chunk"] == [1]
    assert found["llm.client_lag_us"] == [1, 1, 1]
    assert found["llm.outside_model_ms"] == [15]
    assert (found["llm.server_prompt_ms"], found["llm.server_queue_ms"]) == ([40], [1])
    assert "llm.first_answer_ms" not in found


def test_a_readers_own_clock_has_no_lag_rather_than_one_of_zero() -> None:
    exchange = an_exchange([50, 60])
    exchange.stamped = False
    assert "llm.client_lag_us" not in samples(exchange)


def test_every_sample_and_total_is_declared() -> None:
    usage = Usage(10, 3, "server", reasoning=1, cached=4)
    exchange = an_exchange([50, 60, 70], usage=usage, server=ServerTimings(1.0, 1.0, 1.0))
    used = ServerUsage(1.0, 200.0, 150.0, basis="tree")
    names = {*samples(exchange), *totals(answered(exchange, server=used), Slo(ttft_ms=1.0, tpot_ms=None, e2e_ms=None))}
    assert names <= set(load_catalogue())


def test_a_request_that_failed_gives_no_latency() -> None:
    """Trap: failed requests that end at once make the latency look better."""
    assert set(samples(an_exchange([50], failure="cut_off"))) == {"llm.dispatch_late_ms"}


def test_tokens_are_never_counted_from_chunks() -> None:
    exchange = an_exchange([50, 60, 70], counted=False)
    assert not {"llm.output_tokens", "llm.tpot_ms", "llm.tokens_per_chunk", "llm.itl_ms"} & set(samples(exchange))
    assert "llm.tokens_per_s" not in totals(answered(exchange))


def test_rates_are_over_the_wall_time_from_the_first_intended_start() -> None:
    first = an_exchange([100, 500], intended=0, sent=0)
    second = an_exchange([1500, 2000], index=1, intended=1000, sent=1000)
    found = totals(answered(first, second))
    assert found["llm.requests_per_s"] == pytest.approx(1.0)
    assert found["llm.tokens_per_s"] == pytest.approx(2.0)


def test_only_answers_within_the_promise_are_goodput() -> None:
    slo = Slo(ttft_ms=60.0, tpot_ms=None, e2e_ms=None)
    kept = an_exchange([50, 1000])
    waited = an_exchange([1050, 1500], index=1, intended=900, sent=1000)  # 50 ms of service, 150 from the intention
    broken = an_exchange([50, 2000], index=2, failure="reset")
    assert totals(answered(kept, waited, broken), slo)["llm.goodput_per_s"] == pytest.approx(0.5)


def test_a_promise_that_cannot_be_checked_is_not_kept() -> None:
    assert not Slo(ttft_ms=None, tpot_ms=5.0, e2e_ms=None).kept(an_exchange([50]))
    assert Slo(ttft_ms=None, tpot_ms=None, e2e_ms=None).kept(an_exchange([50]))
    assert not Slo(ttft_ms=None, tpot_ms=None, e2e_ms=None).kept(an_exchange([50], failure="timeout"))


def test_the_last_attempt_decides_and_the_others_are_counted() -> None:
    refused = an_exchange([], failure="busy")
    again = an_exchange([600, 700], intended=0, sent=550, attempt=2)
    lost = an_exchange([], index=1, failure="lost")
    found = answered(again, refused, lost)
    assert [exchange.attempt for exchange in found.final] == [2, 1]
    assert totals(found)["llm.error_rate"] == 0.5
    assert totals(found)["llm.retries"] == 1
    assert samples(again)["llm.e2e_from_intended_ms"] == [700]


def test_memory_of_a_server_elsewhere_is_left_out_and_never_the_clients() -> None:
    found = totals(answered(an_exchange()))
    assert not [name for name in found if name.startswith("llm.server_")]
    assert found["llm.client_cpu_s"] == 0.25


def test_a_load_of_which_nothing_was_sent_has_no_rates() -> None:
    unsent = an_exchange([], failure="refused")
    unsent.sent_ns = unsent.ended_ns = 0
    assert totals(answered(unsent)) == {"llm.error_rate": 1.0, "llm.retries": 0, "llm.client_cpu_s": 0.25}
