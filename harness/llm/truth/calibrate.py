"""How far a client's numbers can be trusted under a given load: the load is replayed on a server of known answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import BenchmarkFailed
from harness.llm.exchange import Exchange
from harness.llm.request import Message, Request, Sampling
from harness.llm.schedule import Closed, Open, Patience, Schedule
from harness.llm.truth.compare import Errors, WrongAnswerError, by_name, compare, quantiles
from harness.llm.truth.server import TruthServer
from harness.llm.wire.body import encode
from harness.llm.wire.client import HttpClient

STATED = "p95"  # of the errors: the ± beside a metric covers 19 of 20 samples

_PATIENCE = Patience(connect_s=10.0, first_byte_s=20.0, silence_s=20.0, total_s=60.0)
_CROWD = 64  # users at once, to see what a token costs when there is always something to read
_CROWD_TOKENS = 20
_CROWD_GAP_US = 4000
_USABLE = 0.5  # of a core: above, tokens wait for the reader, and more and more of them come in one read
_LEAST = 8  # requests of an open loop that are replayed
_FEW = 4
_WAITING = 0.25  # of the time of an answer: a longer time to the first token teaches nothing more


@dataclass(frozen=True)
class Calibration:
    """What the client adds to each metric; `plus_minus` is what a result states beside it.

    `errors` holds p50, p95, p99 and max of the sizes of the errors per metric; `stamped` says whether arrivals were the
    kernel's. `highest_rate_per_s` is the rate of such answers at which reading takes half of a core, every token coming
    in a read of its own: no higher rate may be claimed for a server.
    """

    plus_minus: Mapping[str, float]
    errors: Mapping[str, Mapping[str, float]]
    stamped: bool
    highest_rate_per_s: float
    highest_tokens_per_s: float
    rate_error: float  # relative
    requests: int
    tokens: int  # of each answer
    coalesced_share: float
    cpu_us_per_token: float
    server_late_us: Mapping[str, float]
    dispatch_late_ms: Mapping[str, float]
    lag_us: Mapping[str, float]
    seconds: float
    interpreted: bool  # the server ran in Python: its own lateness is larger
    notes: Sequence[str] = field(default_factory=tuple)

    def as_attributes(self) -> dict[str, Any]:
        """All of it, for an event."""
        return {name: _plain(value) for name, value in vars(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def calibrate(
    make_client: Callable[[str], HttpClient],
    schedule: Schedule,
    *,
    tokens: int,
    ttft_ms: float,
    gap_ms: float,
    prompt_bytes: int = 200,
    seconds: float = 0.6,
    cancelled: Callable[[], bool] = lambda: False,
    interpreted: bool = False,
) -> Calibration:
    """Replays a load of the same shape and gives the errors of the client that `make_client(base_url)` makes.

    `tokens`, `ttft_ms` and `gap_ms` are what is expected of an answer. Concurrency, the rhythm of the tokens and the
    times of sending are as in the load; answers are cut short, and of an open loop the beginning is taken, so that it
    lasts about `seconds`.

    Raises:
        BenchmarkFailed: the client failed on a server that does not fail.
    """
    began = time.monotonic()
    replay = _Replay.of(schedule, tokens, ttft_ms, gap_ms, prompt_bytes, seconds)
    with TruthServer(replay.plan, records=replay.records, interpreted=interpreted) as server:
        client = make_client(server.url)
        try:
            done = client.exchange(replay.calls(), replay.schedule, _PATIENCE, cancelled)
            used_s = client.cpu_s
            errors = _compared(done, server)
            crowd = client.exchange(_crowd(len(replay.requests)), Closed((0,) * _CROWD), _PATIENCE, cancelled)
            reads = compare(crowd, server.truth()).reads
            per_second = _USABLE * reads / client.cpu_s if client.cpu_s else 0.0
        finally:
            client.close()
        notes = [server.why_interpreted] if server.interpreted else []
    if not client.stamped:
        notes.append("arrivals are the reader's own clock: what it read late counts as the server's time")
    full_ms = ttft_ms + gap_ms * (tokens - 1)
    rate, rate_error = _rate(schedule, full_ms, errors)
    found = {name: quantiles(values) for name, values in by_name(errors).items()}
    plus_minus = {name: of[STATED] for name, of in found.items() if of}
    return Calibration(
        plus_minus={**plus_minus, "llm.requests_per_s": rate * rate_error},
        errors={**found, "arrival_us": quantiles([abs(one) for one in errors.arrival_us])},
        stamped=client.stamped,
        highest_rate_per_s=per_second / tokens,
        highest_tokens_per_s=per_second,
        rate_error=rate_error,
        requests=len(done),
        tokens=replay.tokens,
        coalesced_share=errors.coalesced / max(1, errors.pieces),
        cpu_us_per_token=used_s * 1e6 / max(1, errors.pieces),
        server_late_us=quantiles(errors.server_late_us),
        dispatch_late_ms=quantiles(errors.dispatch_late_ms),
        lag_us=quantiles(errors.lag_us),
        seconds=time.monotonic() - began,
        interpreted=server.interpreted,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Replay:
    """The load as it is replayed."""

    requests: Sequence[Request]
    schedule: Schedule
    tokens: int
    plan: Mapping[str, int]

    @classmethod
    def of(
        cls, schedule: Schedule, tokens: int, ttft_ms: float, gap_ms: float, prompt_bytes: int, seconds: float
    ) -> "_Replay":
        """Answers cut to a length that fits at least twice into the time, and for few users four times."""
        few = isinstance(schedule, Closed) and schedule.users < _FEW
        answer_ms = seconds * (250.0 if few else 500.0)
        waited_ms = min(ttft_ms, answer_ms * _WAITING)
        fitting = int((answer_ms - waited_ms) / gap_ms) if gap_ms > 0 else tokens
        cut = max(2, min(tokens, fitting))
        lasts_ms = max(1.0, waited_ms + gap_ms * (cut - 1))
        replayed = _shortened(schedule, seconds)
        if isinstance(replayed, Closed):
            count = replayed.users * max(2, int(seconds * 1e3 / lasts_ms))
        else:
            count = len(replayed.offsets_ns)
        plan = {"ttft_us": round(waited_ms * 1e3), "gap_us": round(gap_ms * 1e3)}
        return cls([_asked(key, cut, prompt_bytes) for key in range(count)], replayed, cut, plan)

    @property
    def records(self) -> int:
        """Room in the log for this and the crowd."""
        return len(self.requests) * (self.tokens + 2) + _CROWD * (_CROWD_TOKENS + 2)

    def calls(self) -> list[tuple[Request, str, bytes]]:
        """As the client takes them."""
        return [(request, *encode(request, "truth")) for request in self.requests]


def _shortened(schedule: Schedule, seconds: float) -> Schedule:
    """The start of the load: all users within half of the time, or the first requests."""
    if isinstance(schedule, Closed):
        last_ns = max(schedule.starts_ns, default=0)
        shrink = min(1.0, seconds * 0.5e9 / last_ns) if last_ns else 1.0
        think_ns = min(schedule.think_ns, int(seconds * 0.1e9))
        return Closed(tuple(int(start * shrink) for start in schedule.starts_ns), think_ns)
    offsets = schedule.offsets_ns
    first = [offset - offsets[0] for offset in offsets if offset - offsets[0] <= seconds * 1e9]
    if len(first) < _LEAST:
        first = [offset - offsets[0] for offset in offsets[:_LEAST]]
        shrink = min(1.0, seconds * 1e9 / first[-1]) if first[-1] else 1.0
        first = [int(offset * shrink) for offset in first]
    return Open(tuple(first))


def _asked(key: int, tokens: int, prompt_bytes: int, **extra: Any) -> Request:
    sampling = Sampling(temperature=0.0, seed=0, max_tokens=tokens, top_p=1.0)
    words = "word " * max(1, prompt_bytes // 5)
    return Request(messages=(Message("user", words),), sampling=sampling, extra={"truth_key": key, **extra})


def _crowd(first_key: int) -> list[tuple[Request, str, bytes]]:
    """Many quick answers at once."""
    plan = {"truth_ttft_us": _CROWD_GAP_US, "truth_gap_us": _CROWD_GAP_US}
    asked = [_asked(first_key + n, _CROWD_TOKENS, 100, **plan) for n in range(_CROWD)]
    return [(request, *encode(request, "truth")) for request in asked]


def _compared(done: Sequence[Exchange], server: TruthServer) -> Errors:
    failed = [one.failure for one in done if one.failure is not None and one.failure.reason != "cancelled"]
    if failed:
        raise BenchmarkFailed(f"the calibration failed: {len(failed)} of {len(done)}: {failed[0].message}")
    try:
        errors = compare(done, server.truth())
    except WrongAnswerError as error:
        raise BenchmarkFailed(f"the calibration failed: {error}") from error
    if not errors.ttft_ms:
        raise BenchmarkFailed("the calibration was cancelled before an answer was whole")
    return errors


def _rate(schedule: Schedule, full_ms: float, errors: Errors) -> tuple[float, float]:
    """The expected requests a second and the relative error of that rate.

    In a closed loop the time that the client adds to each cycle is missing from the rate; in an open one the requests
    are as late as they are sent late.
    """
    if isinstance(schedule, Closed):
        added_ms = sum(errors.added_ms) / len(errors.added_ms)
        cycle_ms = full_ms + schedule.think_ns / 1e6
        return schedule.users * 1e3 / max(cycle_ms, 1e-3), added_ms / max(cycle_ms + added_ms, 1e-3)
    span_ms = (schedule.offsets_ns[-1] - schedule.offsets_ns[0]) / 1e6
    if len(schedule.offsets_ns) < 2 or span_ms <= 0:
        return 0.0, 0.0
    late = errors.dispatch_late_ms
    return (len(schedule.offsets_ns) - 1) * 1e3 / span_ms, (max(late) - min(late)) / span_ms
