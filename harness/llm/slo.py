"""What a user was promised of one answer; only answers that keep it count as goodput."""

from dataclasses import dataclass
from typing import Annotated

from harness.llm.exchange import Exchange
from harness.llm.latency import first_ms, per_token_ms, whole_ms
from harness.ranges import Range

_Ms = Annotated[float, Range(above=0)]


@dataclass(frozen=True, kw_only=True)
class Slo:
    """Limits of one answer, all counted from when it was intended to be asked; null leaves a limit out."""

    ttft_ms: _Ms | None  # until the first token
    tpot_ms: _Ms | None  # for each further token
    e2e_ms: _Ms | None  # until the last one

    def kept(self, exchange: Exchange) -> bool:
        """Whether the answer is whole and within every limit; a time that cannot be told breaks its limit."""
        if not exchange.ok:
            return False
        found = (
            (self.ttft_ms, first_ms(exchange, exchange.intended_ns)),
            (self.tpot_ms, per_token_ms(exchange)),
            (self.e2e_ms, whole_ms(exchange, exchange.intended_ns)),
        )
        return all(limit is None or (value is not None and value <= limit) for limit, value in found)
