"""How exact the client for language models is, against a server whose every sending is logged, and what it costs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from harness.errors import BenchmarkFailed
from harness.llm.exchange import Exchange
from harness.llm.request import Message, Request, Sampling
from harness.llm.schedule import Closed, Open, Patience, Schedule
from harness.llm.truth.compare import Errors, compare, quantiles
from harness.llm.truth.server import TruthServer
from harness.llm.wire.body import encode
from harness.llm.wire.client import HttpClient
from harness.llm.wire.target import Target
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.bench.inner import InnerHarness

MANY = 32  # streams from which on the cost of a token is held against its goal

_PATIENCE = Patience(connect_s=10.0, first_byte_s=30.0, silence_s=30.0, total_s=60.0)


@dataclass(frozen=True)
class Cell:
    """One load, and what the client said of it."""

    streams: int
    errors: Errors
    rate_error: float
    cpu_us_per_token: float


class LlmClient:
    """One iteration runs every number of streams in turn, an open loop, and one whole command."""

    def __init__(
        self,
        *,
        streams: list[int],
        waves: Annotated[int, Range(min=1)],
        tokens: Annotated[int, Range(min=2)],
        ttft_ms: Annotated[float, Range(min=0)],
        gap_ms: Annotated[float, Range(above=0)],
        open_requests: Annotated[int, Range(min=2)],
        open_rate_per_s: Annotated[float, Range(above=0)],
        realtime_server: bool,
        kernel_stamps: bool,
        command: list[str],
    ) -> None:
        self._streams = streams
        self._waves = waves
        self._tokens = tokens
        self._plan = {"ttft_us": round(ttft_ms * 1e3), "gap_us": round(gap_ms * 1e3), "tokens": tokens}
        self._open_requests = open_requests
        self._open_rate_per_s = open_rate_per_s
        self._realtime = realtime_server
        self._stamps = kernel_stamps
        self._command = command
        self._inner: InnerHarness | None = None

    def setup(self, context: Context) -> None:
        """Starts the server once, to compile it and to learn what this machine offers."""
        with TruthServer(self._plan, realtime=self._realtime) as server:
            client = HttpClient(Target.of(server.url), stamps=self._stamps)
            truth = server.truth()
            context.event(
                "bench.llm.server",
                interpreted=server.interpreted,
                why=server.why_interpreted,
                realtime_priority=truth.realtime,
                kernel_stamps=client.stamped,
            )
        self._inner = InnerHarness(context.folder / "inner") if self._command else None

    def iterate(self, context: Context) -> None:
        """All cells, the open loop, and a command; of the cells the worst is recorded for each metric."""
        cells = [self._closed(count) for count in self._streams]
        for cell in cells:
            self._tell(context, cell)
        of = [cell.errors for cell in cells]
        _record_worst(context, "bench.llm.arrival_error_us", [[abs(one) for one in e.arrival_us] for e in of])
        _record_worst(context, "bench.llm.ttft_error_ms", [errors.ttft_ms for errors in of])
        _record_worst(context, "bench.llm.itl_error_ms", [errors.itl_ms for errors in of])
        context.record("bench.llm.rate_error", max(cell.rate_error for cell in cells))
        context.record("bench.llm.coalesced_share", max(e.coalesced / e.pieces for e in of))
        context.record("bench.llm.lag_p99_us", max(quantiles(e.lag_us)["p99"] for e in of))
        costs = [cell.cpu_us_per_token for cell in cells if cell.streams >= MANY]
        if costs:
            context.record("bench.llm.cpu_us_per_token", max(costs))
        for late_ms in self._open(context).dispatch_late_ms:
            context.record("bench.llm.dispatch_late_ms", late_ms)
        if self._inner is not None:
            context.record("bench.llm.fixed_s", self._fixed_s(self._inner))

    def _tell(self, context: Context, cell: Cell) -> None:
        errors = cell.errors
        context.event(
            "bench.llm.cell",
            streams=cell.streams,
            arrival_us=quantiles([abs(one) for one in errors.arrival_us]),
            ttft_ms=quantiles(errors.ttft_ms),
            itl_ms=quantiles(errors.itl_ms),
            server_late_us=quantiles(errors.server_late_us),
            lag_us=quantiles(errors.lag_us),
            coalesced=errors.coalesced,
            pieces=errors.pieces,
            rate_error=cell.rate_error,
            cpu_us_per_token=cell.cpu_us_per_token,
        )

    def _closed(self, streams: int) -> Cell:
        """All streams in phase, as an engine that batches has them."""
        done, errors, cpu_s = self._run(Closed((0,) * streams), streams * self._waves)
        took_s = (max(one.ended_ns for one in done) - min(one.intended_ns for one in done)) / 1e9
        served_s = sum(errors.service_ms) / len(errors.service_ms) / 1e3
        rate_error = abs(1 - (len(done) / took_s) / (streams / served_s))
        return Cell(streams, errors, rate_error, cpu_s * 1e6 / errors.pieces)

    def _open(self, context: Context) -> Errors:
        """Requests at the times of a Poisson process, another one in each iteration."""
        drawn = random.Random(context.seed + context.iteration)
        at, offsets = 0.0, []
        for _ in range(self._open_requests):
            at += drawn.expovariate(self._open_rate_per_s)
            offsets.append(int(at * 1e9))
        return self._run(Open(tuple(offsets)), self._open_requests)[1]

    def _run(self, schedule: Schedule, count: int) -> tuple[Sequence[Exchange], Errors, float]:
        calls = [(asked, *encode(asked, "truth")) for asked in (_asked(key, self._tokens) for key in range(count))]
        records = count * (self._tokens + 2)
        with TruthServer(self._plan, records=records, realtime=self._realtime) as server:
            client = HttpClient(Target.of(server.url), stamps=self._stamps)
            try:
                done = client.exchange(calls, schedule, _PATIENCE)
            finally:
                client.close()
            failed = [one.failure for one in done if one.failure is not None]
            if failed:
                raise BenchmarkFailed(f"{len(failed)} of {count} requests failed: {failed[0].message}")
            return done, compare(done, server.truth()), client.cpu_s

    def _fixed_s(self, inner: InnerHarness) -> float:
        """The wall time of a whole command against a server of known answers, less its measured iterations."""
        with TruthServer(self._plan) as server:
            finished = inner.start(*self._command, f"llm.base_url={server.url}").finish(0)
        measured = inner.result()["metrics"]["iteration.duration_ms"]["statistics"]
        return float(finished.wall_ns / 1e9 - measured["sum"] / 1e3)

    def teardown(self) -> None:
        """Removes what the inner runs wrote."""
        if self._inner is not None:
            self._inner.remove()


def _record_worst(context: Context, metric: str, cells: Sequence[Sequence[float]]) -> None:
    """The samples of the cell with the largest p99, and the largest p50 of all as a metric of its own."""
    found = [quantiles(cell) for cell in cells]
    worst = max(range(len(cells)), key=lambda at: found[at]["p99"])
    for value in cells[worst]:
        context.record(metric, value)
    context.record(f"{metric}.p50", max(each["p50"] for each in found))


def _asked(key: int, tokens: int) -> Request:
    sampling = Sampling(temperature=0.0, seed=0, max_tokens=tokens, top_p=1.0)
    return Request(messages=(Message("user", "word " * 50),), sampling=sampling, extra={"truth_key": key})
