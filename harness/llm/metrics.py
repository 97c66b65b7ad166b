"""From exchanges to the samples of declared metrics: times from arrivals, tokens from usage, never from chunks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.llm import latency
from harness.llm.exchange import Exchange
from harness.llm.server_usage import Usage as ServerUsage
from harness.llm.slo import Slo

Sample = tuple[str, float]


@dataclass(frozen=True)
class Answered:
    """What came of a load: every attempt at every request, and what the server used meanwhile."""

    exchanges: tuple[Exchange, ...]
    server: ServerUsage
    client_cpu_s: float

    @property
    def final(self) -> list[Exchange]:
        """The last attempt at each request, in the order of the requests."""
        last = {exchange.index: exchange for exchange in sorted(self.exchanges, key=_attempt)}
        return [last[index] for index in sorted(last)]

    @property
    def good(self) -> list[Exchange]:
        """The whole answers."""
        return [exchange for exchange in self.final if exchange.ok]

    @property
    def duration_s(self) -> float:
        """From the first intended start to the last end; 0 where nothing was sent."""
        sent = [exchange for exchange in self.exchanges if exchange.ended_ns]
        if not sent:
            return 0.0
        return (max(each.ended_ns for each in sent) - min(each.intended_ns for each in sent)) / 1e9

    @property
    def output_tokens(self) -> int | None:
        """Tokens of all whole answers; None where an answer came without a count of them."""
        return _summed(exchange.usage.output if exchange.usage else None for exchange in self.good)

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens over the wall time of the load."""
        tokens, seconds = self.output_tokens, self.duration_s
        return tokens / seconds if tokens is not None and seconds > 0 else None

    def goodput_per_s(self, slo: Slo) -> float:
        """Answers within the promise, over the wall time of the load."""
        return sum(map(slo.kept, self.final)) / self.duration_s if self.duration_s > 0 else 0.0


def samples_of(exchange: Exchange) -> Iterator[Sample]:
    """Every sample of one exchange; of one that failed only how late it was sent."""
    if exchange.sent_ns and exchange.attempt == 1:
        yield "llm.dispatch_late_ms", (exchange.sent_ns - exchange.intended_ns) / 1e6
    if not exchange.ok:
        return
    times = (
        ("llm.ttft_ms", latency.first_ms(exchange, exchange.sent_ns)),
        ("llm.ttft_from_intended_ms", latency.first_ms(exchange, exchange.intended_ns)),
        ("llm.first_answer_ms", latency.first_answer_ms(exchange, exchange.sent_ns)),
        ("llm.tpot_ms", latency.per_token_ms(exchange)),
        ("llm.e2e_ms", latency.whole_ms(exchange, exchange.sent_ns)),
        ("llm.e2e_from_intended_ms", latency.whole_ms(exchange, exchange.intended_ns)),
        ("llm.outside_model_ms", latency.outside_model_ms(exchange)),
    )
    yield from ((name, value) for name, value in times if value is not None)
    yield from _counts(exchange)
    yield from _server_times(exchange)
    if exchange.request.stream:
        yield from (("llm.itl_ms", gap.ms) for gap in latency.token_gaps(exchange))
        yield from (("llm.chunk_gap_ms", gap.ms) for gap in latency.gaps(exchange))
    if exchange.request.stream and exchange.stamped:  # a reader's own clock does not know how late it read
        yield from (("llm.client_lag_us", piece.lag_ns / 1e3) for piece in exchange.pieces if not piece.coalesced)


def _counts(exchange: Exchange) -> Iterator[Sample]:
    usage = exchange.usage
    if usage is not None:
        yield "llm.input_tokens", usage.input
        yield "llm.output_tokens", usage.output
        if usage.cached is not None:
            yield "llm.cached_tokens", usage.cached
        if usage.reasoning is not None:
            yield "llm.reasoning_tokens", usage.reasoning
        if exchange.request.stream and exchange.pieces:
            yield "llm.tokens_per_chunk", usage.output / len(exchange.pieces)
    if exchange.request.stream and exchange.pieces:
        yield "llm.coalesced_share", sum(piece.coalesced for piece in exchange.pieces) / len(exchange.pieces)


def _server_times(exchange: Exchange) -> Iterator[Sample]:
    timings = exchange.server
    if timings is not None:
        found = (
            ("llm.server_prompt_ms", timings.prompt_ms),
            ("llm.server_predicted_ms", timings.predicted_ms),
            ("llm.server_queue_ms", timings.queue_ms),
        )
        yield from ((name, value) for name, value in found if value is not None)


def totals(answered: Answered, slo: Slo | None = None) -> dict[str, float]:
    """The metrics of a whole load; what cannot be told is left out, never 0."""
    final = answered.final
    found: dict[str, float | None] = {
        "llm.error_rate": sum(not exchange.ok for exchange in final) / len(final) if final else None,
        "llm.retries": len(answered.exchanges) - len(final),
        "llm.requests_per_s": len(answered.good) / answered.duration_s if answered.duration_s > 0 else None,
        "llm.tokens_per_s": answered.tokens_per_s if answered.good else None,
        "llm.goodput_per_s": answered.goodput_per_s(slo) if slo is not None else None,
        "llm.client_cpu_s": answered.client_cpu_s,
        "llm.server_cpu_s": answered.server.cpu_s,
        "llm.server_rss_peak_mb": answered.server.rss_peak_mb,
        "llm.server_rss_mean_mb": answered.server.rss_mean_mb,
    }
    return {name: value for name, value in found.items() if value is not None}


def _summed(counts: Iterable[int | None]) -> int | None:
    known: Sequence[int | None] = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def _attempt(exchange: Exchange) -> int:
    return exchange.attempt
