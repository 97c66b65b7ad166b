"""The instrument's own error, found before the run under the same shape of load, and told beside each metric."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from harness.llm.callback_cost import callback_errors
from harness.llm.engine import Engine
from harness.llm.exchange import Exchange
from harness.llm.latency import first_ms, whole_ms
from harness.llm.schedule import Schedule
from harness.llm.truth.calibrate import calibrate
from harness.llm.wire.client import HttpClient
from harness.llm.wire.target import Target
from harness.ranges import Range
from harness.runner import Context

# Metrics that are taken from the same two times as another one, and so err as much.
_SAME = {
    "llm.ttft_ms": ("llm.ttft_from_intended_ms", "llm.first_answer_ms"),
    "llm.itl_ms": ("llm.chunk_gap_ms",),
    "llm.e2e_ms": ("llm.e2e_from_intended_ms",),
}


@dataclass(frozen=True, kw_only=True)
class Calibrating:
    """How long the instrument is tried before the run; 0: not at all, and then no error is known."""

    seconds: Annotated[float, Range(min=0)]


@dataclass(frozen=True)
class _Answer:
    """About what an answer will look like."""

    tokens: int
    ttft_ms: float
    gap_ms: float
    prompt_bytes: int

    @classmethod
    def like(cls, exchange: Exchange) -> "_Answer":
        tokens = exchange.usage.output if exchange.usage else len(exchange.pieces)
        tokens = max(tokens, 2)
        whole = whole_ms(exchange, exchange.sent_ns)
        first = first_ms(exchange, exchange.sent_ns) or whole
        return cls(tokens, first, (whole - first) / (tokens - 1), len(exchange.request.text.encode()))


class Instrument:
    """What is known of the error of the way in which one engine is timed."""

    def __init__(self, engine: Engine, calibrating: Calibrating) -> None:
        self._engine, self._seconds = engine, calibrating.seconds
        self._plus_minus: Mapping[str, float] = {}
        self._basis = ""
        self._highest_per_s: float | None = None
        self._told: dict[str, float] = {}

    def is_tried(self, context: Context) -> bool:
        """Whether a calibration is wanted; says so where it is not."""
        if self._seconds == 0:
            context.event("llm.not_calibrated", reason="calibration.seconds is 0: no error of the instrument is known")
        return self._seconds > 0

    def calibrate(self, context: Context, schedule: Schedule, expected: Exchange) -> None:
        """Tries the instrument under this shape of load, with answers about like the expected one, and tells its error.

        An HTTP client reads a server of known answers; for an engine in this process the callback is tried.

        Raises:
            BenchmarkFailed: the client failed on a server that does not fail.
        """
        client = client_of(self._engine)
        answer = _Answer.like(expected)
        told = self._over_http(client, schedule, answer, context) if client else self._in_process(schedule, answer)
        context.event("llm.calibrated", **told)
        context.describe("instrument", **told)
        for metric, plus_minus in self._plus_minus.items():
            for name in (metric, *_SAME.get(metric, ())):
                self._tell(context, name, plus_minus)

    def _over_http(
        self, client: HttpClient, schedule: Schedule, answer: _Answer, context: Context
    ) -> Mapping[str, Any]:
        def same_client(base_url: str) -> HttpClient:
            return HttpClient(Target.of(base_url), stamps=client.stamped, reuse=client.reuse, library=not client.raw)

        found = calibrate(
            same_client,
            schedule,
            tokens=answer.tokens,
            ttft_ms=answer.ttft_ms,
            gap_ms=answer.gap_ms,
            prompt_bytes=answer.prompt_bytes,
            seconds=self._seconds,
            cancelled=lambda: context.cancelled,
        )
        self._plus_minus = found.plus_minus
        self._highest_per_s = found.highest_rate_per_s
        clock = "kernel stamps" if found.stamped else "the reader's clock"
        self._basis = f"p95 over {found.requests} answers replayed on a truth server in the same load, {clock}"
        unknown = [] if client.target.scheme == "http" else ["what TLS adds is not in it"]
        return {**found.as_attributes(), "basis": self._basis, "unknown": unknown}

    def _in_process(self, schedule: Schedule, answer: _Answer) -> Mapping[str, Any]:
        found = callback_errors(
            schedule,
            tokens=answer.tokens,
            ttft_ms=answer.ttft_ms,
            gap_ms=answer.gap_ms,
            seconds=self._seconds,
        )
        self._plus_minus = found["plus_minus"]
        self._basis = f"p95 over {found['answers']} answers of a core of known times in this process"
        return {**found, "basis": self._basis}

    def scaled(self, context: Context, metric: str, base: str, factor: float) -> None:
        """Tells the error of a metric that is so many times a base metric's."""
        if base in self._plus_minus:
            self._tell(context, metric, self._plus_minus[base] * factor)

    def limited(self, context: Context, metric: str, rate_per_s: float) -> None:
        """Tells the error of a rate; near the highest one that the client itself can keep, all of it may be wrong."""
        if self._highest_per_s is not None and rate_per_s > self._highest_per_s:
            self._tell(context, metric, rate_per_s)

    def _tell(self, context: Context, metric: str, plus_minus: float) -> None:
        """Only what is larger than before is told again: of several the largest holds."""
        if plus_minus > self._told.get(metric, -1.0):
            self._told[metric] = plus_minus
            context.instrument_error(metric, plus_minus, basis=self._basis)


def client_of(engine: Engine) -> HttpClient | None:
    """A client like the one that this engine sends with; None for a model in this process.

    An engine that owns its server has it behind `http`, as anyone else would see that server.
    """
    make: Callable[[], HttpClient] | None = getattr(getattr(engine, "http", engine), "client", None)
    return None if make is None else make()
