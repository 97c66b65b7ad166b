"""How far the times of an engine in this process can be trusted: the load is replayed on a core of known times.

Between the engine and the sample there is only the call of a Python function; what that adds, with as many threads
as the load has, is what is found here. Not in it is the wait for the interpreter of a callback that comes from C,
which is short while no other thread of this process computes in Python.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from harness.llm.engines.call import Call, Noted
from harness.llm.engines.in_process import InProcessLoad
from harness.llm.exchange import Exchange, Failure, Piece
from harness.llm.request import Message, Request, Sampling
from harness.llm.schedule import Closed, Open, Patience, Schedule
from harness.measure.stats import percentile

STATED = 0.95  # of the errors: the ± beside a metric covers 19 of 20 samples

_PATIENCE = Patience(connect_s=1.0, first_byte_s=30.0, silence_s=30.0, total_s=60.0)
_MOST_MS = 100.0  # that a core waits before its first token: a longer wait teaches nothing more
_LEAST_GAP_MS = 1.0


@dataclass
class _KnownCore:
    """Hands over numbered chunks at its own times and notes when it did."""

    ttft_s: float
    gap_s: float
    tokens: int
    entered_ns: dict[int, int] = field(default_factory=dict)
    handed_ns: dict[int, list[int]] = field(default_factory=dict)
    _pause: threading.Event = field(default_factory=threading.Event)  # never set: waiting for it is a wait by the clock

    def prepare(self, request: Request) -> None:
        return None

    def answer(self, call: Call, prepared: Any) -> Failure | None:
        index = call.exchange.index
        handed = self.handed_ns[index] = []
        self.entered_ns[index] = time.monotonic_ns()
        for token in range(self.tokens):
            self._pause.wait(self.gap_s if token else self.ttft_s)
            handed.append(time.monotonic_ns())
            if call.note(token):
                break
        return None

    def read(self, exchange: Exchange, noted: Sequence[Noted]) -> None:
        exchange.pieces = [Piece(one.at_ns, 0, 0, False, "text", "t", 1) for one in noted]


def callback_errors(
    schedule: Schedule, *, tokens: int, ttft_ms: float, gap_ms: float, seconds: float
) -> Mapping[str, Any]:
    """The p95 of the errors per metric, with how many answers they are of.

    The load has the shape of the schedule, cut to about so many seconds.
    """
    core = _KnownCore(min(ttft_ms, _MOST_MS) / 1e3, max(gap_ms, _LEAST_GAP_MS) / 1e3, tokens)
    lasts_s = core.ttft_s + core.gap_s * (tokens - 1)
    if lasts_s > seconds / 2:
        core.tokens = max(2, int((seconds / 2 - core.ttft_s) / core.gap_s))
        lasts_s = core.ttft_s + core.gap_s * (core.tokens - 1)
    cut = _cut(schedule, seconds)
    count = cut.users * max(2, int(seconds / lasts_s)) if isinstance(cut, Closed) else len(cut.offsets_ns)
    requests = [_request(core.tokens) for _ in range(count)]
    done = InProcessLoad(core, requests, cut, _PATIENCE, lambda: False).run()
    errors = _errors(core, done)
    stated = {name: percentile(sorted(values), STATED) for name, values in errors.items() if values}
    return {"plus_minus": stated, "answers": len(done), "tokens": core.tokens}


def _cut(schedule: Schedule, seconds: float) -> Schedule:
    """The load from its beginning: all users at once, or the requests of the first seconds."""
    if isinstance(schedule, Closed):
        return Closed((0,) * schedule.users)
    first = schedule.offsets_ns[0]
    return Open(tuple(at - first for at in schedule.offsets_ns if at - first <= seconds * 1e9))


def _request(tokens: int) -> Request:
    sampling = Sampling(temperature=0.0, seed=0, max_tokens=tokens, top_p=1.0)
    return Request(messages=(Message("user", "count"),), sampling=sampling)


def _errors(core: _KnownCore, done: Sequence[Exchange]) -> dict[str, list[float]]:
    """Sizes of the differences between what was noted and what the core did, in milliseconds."""
    found: dict[str, list[float]] = {"llm.ttft_ms": [], "llm.itl_ms": [], "llm.e2e_ms": [], "llm.tpot_ms": []}
    for exchange in done:
        handed, arrived = core.handed_ns[exchange.index], [piece.at_ns for piece in exchange.pieces]
        entered = core.entered_ns[exchange.index]
        first = (arrived[0] - exchange.sent_ns) - (handed[0] - entered)
        whole = (exchange.ended_ns - exchange.sent_ns) - (handed[-1] - entered)
        found["llm.ttft_ms"].append(abs(first) / 1e6)
        found["llm.e2e_ms"].append(abs(whole) / 1e6)
        late = [at - known for at, known in zip(arrived, handed, strict=True)]
        found["llm.itl_ms"] += [abs(after - before) / 1e6 for before, after in pairwise(late)]
        if len(arrived) > 1:
            found["llm.tpot_ms"].append(abs(whole - first) / (len(arrived) - 1) / 1e6)
    return found
