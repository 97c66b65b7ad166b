"""A model whose times are computed, not waited for: each planted effect is exact, and nothing else is in the numbers.

It stands in for the engine alone. Requests wait for a free slot in the order of their arrival; the clock is a number.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.llm.engine import Served
from harness.llm.exchange import Exchange, Failure, Piece, ServerTimings, Usage
from harness.llm.request import Request
from harness.llm.schedule import Closed, Patience, Schedule
from harness.runner import Context

_MS = 1_000_000
_BEGIN_NS = 1_000_000_000


@dataclass
class ScriptedEngine:
    """Every effect is a parameter."""

    prefill_ms: Callable[[int], float] = lambda tokens: 10 + 0.5 * tokens
    gap_ms: Callable[[int], float] = lambda position: 10.0  # before each further token, counted from 1
    slots: int = 1
    slowdown: Callable[[int], float] = lambda busy: 1.0  # of all work, with so many slots busy
    template_tokens: int = 12
    context_tokens: int | None = 512
    limit_tokens: int | None = None  # the longest prompt that is answered; None: the context less one
    cuts_off: bool = False  # too long a prompt is cut off instead of refused
    holds_back: bool = False  # all tokens come with the last one
    caches: bool = False
    gives_usage: bool = True
    tokenizer: bool = True
    fails: Callable[[int], Failure | None] = lambda number: None  # by the number of the request, from 0
    late_ms: float = 0.0  # of every dispatch
    pid: int | None = None
    started: int = 0
    closed: int = 0
    restarted: int = 0
    asked: list[Request] = field(default_factory=list)
    schedules: list[Schedule] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _now_ns: int = _BEGIN_NS
    _lost: bool = False

    def start(self, context: Context) -> Served:
        self.started += 1
        return self._served()

    def _served(self) -> Served:
        settings = {"slots": self.slots}
        return Served("scripted", "1", "planted", None, None, self.context_tokens, settings, self.pid, 25.0)

    def revive(self, context: Context) -> Served:
        self.restarted += self._lost
        self._lost = False
        return self._served()

    def close(self) -> None:
        self.closed += 1

    def count_tokens(self, text: str) -> int | None:
        return len(text.split()) if self.tokenizer else None

    def exchange(
        self, requests: Sequence[Request], schedule: Schedule, patience: Patience, context: Context
    ) -> list[Exchange]:
        """Runs the load on the computed clock."""
        self.schedules.append(schedule)
        free = [self._now_ns] * self.slots
        found: list[Exchange] = []
        for index, arrival_ns in self._arrivals(requests, schedule, found):
            sent_ns = arrival_ns + round(self.late_ms * _MS)
            free_ns = heapq.heappop(free)
            busy = 1 + sum(each > sent_ns for each in free)
            exchange = self._answer(index, requests[index], arrival_ns, sent_ns, max(sent_ns, free_ns), busy)
            heapq.heappush(free, exchange.ended_ns)
            found.append(exchange)
        self._now_ns = max([self._now_ns, *(exchange.ended_ns for exchange in found)]) + _MS
        return sorted(found, key=lambda exchange: exchange.index)

    def _arrivals(
        self, requests: Sequence[Request], schedule: Schedule, found: list[Exchange]
    ) -> Iterator[tuple[int, int]]:
        """Each request with its time; in a closed loop the answer to one user's last request decides it."""
        if not isinstance(schedule, Closed):
            yield from ((index, self._now_ns + offset) for index, offset in enumerate(schedule.offsets_ns))
            return
        waiting = [(self._now_ns + start, user) for user, start in enumerate(schedule.starts_ns)]
        heapq.heapify(waiting)
        for index in range(len(requests)):
            at_ns, user = heapq.heappop(waiting)
            yield index, at_ns
            heapq.heappush(waiting, (found[-1].ended_ns + schedule.think_ns, user))

    def _answer(
        self, index: int, request: Request, intended_ns: int, sent_ns: int, begun_ns: int, busy: int
    ) -> Exchange:
        failure = self.fails(len(self.asked))
        self._lost |= failure is not None and failure.reason == "lost"
        self.asked.append(request)
        exchange = Exchange(index, request, intended_ns, sent_ns=sent_ns, stamped=True)
        tokens = len(request.text.split()) + self.template_tokens
        limit = self.limit_tokens or (self.context_tokens or 1 << 30) - 1
        if tokens > limit and not self.cuts_off and failure is None:
            failure = Failure("context_overflow", f"{tokens} tokens do not fit into {limit}")
        if failure is not None:
            exchange.failure, exchange.ended_ns = failure, begun_ns + _MS
            return exchange
        read = min(tokens, limit)
        cached = self._cached(request, read)
        factor = self.slowdown(busy)
        first_ms = self.prefill_ms(read - cached) * factor
        times_ms = [first_ms]
        for position in range(1, request.sampling.max_tokens):
            times_ms.append(times_ms[-1] + self.gap_ms(position) * factor)
        if self.holds_back:
            times_ms = [times_ms[-1]] * len(times_ms)
        exchange.pieces = list(_pieces([begun_ns + round(ms * _MS) for ms in times_ms]))
        exchange.ended_ns = exchange.pieces[-1].at_ns
        exchange.server = ServerTimings(first_ms, times_ms[-1] - first_ms)
        if self.gives_usage:
            exchange.usage = Usage(read, len(times_ms), "server", cached=cached)
        return exchange

    def _cached(self, request: Request, tokens: int) -> int:
        known = request.text in self._seen
        self._seen.add(request.text)
        return tokens - 1 if self.caches and known and request.extra.get("cache_prompt") else 0


def _pieces(at_ns: Sequence[int]) -> Iterator[Piece]:
    before = 0
    for i, at in enumerate(at_ns):
        together = i > 0 and at == at_ns[i - 1]
        yield Piece(at, before, 2000, together, "text", f"w{i} ")
        before = before if together else at
