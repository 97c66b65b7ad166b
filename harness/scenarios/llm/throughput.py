"""The rate rises until the promise breaks: the most that a server can be offered, between two rates that were tried."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Annotated

from harness.errors import BenchmarkFailed, Cancelled
from harness.llm.engine import Engine
from harness.llm.latency import whole_ms
from harness.llm.load import ConstantRate, PoissonRate
from harness.llm.metrics import Answered
from harness.llm.prompts import Prompts
from harness.llm.request import Request
from harness.llm.saturation import Bracket, search
from harness.llm.schedule import Open, Patience
from harness.llm.slo import Slo
from harness.llm.workload import Asking
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import ONE_USER, Subject
from harness.scenarios.settings import settled

_ALONE = 3  # requests whose median is what one user alone waits


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Which rates are tried, and for how long each."""

    times_alone: Annotated[float, Range(min=1)] | None
    lowest_per_s: Annotated[float, Range(above=0)] | None
    highest_per_s: Annotated[float, Range(above=0)]
    growth: Annotated[float, Range(above=1)]
    resolution: Annotated[float, Range(above=0, max=1)]
    most_tries: Annotated[int, Range(min=1)]
    requests: Annotated[int, Range(min=1)]
    random: bool
    kept_share: Annotated[float, Range(above=0, max=1)]


class Throughput:
    """One iteration is one search: each rate is an open loop, and holds if enough answers keep the promise."""

    def __init__(
        self,
        *,
        engine: Engine,
        prompts: Prompts,
        ask: Asking,
        patience: Patience,
        calibration: Calibrating,
        keep: Keep,
        slo: Slo,
        sweep: Sweep,
    ) -> None:
        self._subject = Subject(engine, prompts, ask, patience, calibration)
        self._recorder = Recorder(keep)
        self._slo, self._sweep = settled(Slo, slo), settled(Sweep, sweep)

    def setup(self, context: Context) -> None:
        """Starts the engine, and tries the instrument at the first rate of the search."""
        self._subject.open(context)
        rate = self._lowest_per_s(self._alone_ms(context))
        self._subject.calibrate(context, self._offered(rate, context), self._requests())

    def _requests(self) -> list[Request]:
        return self._subject.workload.requests(self._sweep.requests)

    def _alone_ms(self, context: Context) -> float:
        """The median time of a whole answer without competition.

        Raises:
            BenchmarkFailed: there was none.
        """
        answered = self._subject.ask(context, self._subject.workload.requests(_ALONE), ONE_USER)
        self._recorder.note(context, answered)
        if context.cancelled:
            raise Cancelled
        if not answered.good:
            raise BenchmarkFailed("not even a request alone is answered", "the events llm.request.failed say why")
        return median(whole_ms(exchange, exchange.sent_ns) for exchange in answered.good)

    def _lowest_per_s(self, alone_ms: float) -> float:
        """The rate to begin with: half of what one user alone would reach, where none is given."""
        return self._sweep.lowest_per_s or min(500 / alone_ms, self._sweep.highest_per_s)

    def _promise(self, alone_ms: float) -> Slo:
        """The limits given, and the one that comes from what a request takes alone."""
        if self._sweep.times_alone is None:
            return self._slo
        limit_ms = self._sweep.times_alone * alone_ms
        return replace(self._slo, e2e_ms=limit_ms if self._slo.e2e_ms is None else min(limit_ms, self._slo.e2e_ms))

    def _offered(self, rate: float, context: Context) -> Open:
        shape = PoissonRate if self._sweep.random else ConstantRate
        return shape(rate_per_s=rate).schedule(self._sweep.requests, context.seed)

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Searches once.

        Raises:
            Cancelled: the run ended before the bracket was found; half a search says nothing.
        """
        at: dict[float, Answered] = {}
        alone_ms = self._alone_ms(context)
        slo = self._promise(alone_ms)

        def keeps(rate: float) -> bool:
            answered = self._subject.ask(context, self._requests(), self._offered(rate, context))
            if context.cancelled:
                raise Cancelled
            at[rate] = answered
            kept = sum(map(slo.kept, answered.final)) / max(len(answered.final), 1)
            self._recorder.record(context, answered, slo)
            context.event(
                "llm.throughput.tried", rate_per_s=rate, kept_share=kept, holds=kept >= self._sweep.kept_share
            )
            return kept >= self._sweep.kept_share

        sweep = self._sweep
        lowest = self._lowest_per_s(alone_ms)
        bracket = search(
            keeps,
            lowest=lowest,
            highest=max(sweep.highest_per_s, lowest),
            growth=sweep.growth,
            resolution=sweep.resolution,
            most_tries=sweep.most_tries,
        )
        self._record(context, bracket)
        found = at[bracket.kept].tokens_per_s if bracket.kept is not None else None
        return {"llm.throughput.tries": len(bracket.tried)} | ({"llm.throughput.tokens_per_s": found} if found else {})

    def _record(self, context: Context, bracket: Bracket) -> None:
        """The bracket as an estimate with its bounds; one that is open above, or below, is told as such."""
        if bracket.kept is None or bracket.missed is None:
            said = "even the lowest rate missed" if bracket.kept is None else "the highest rate tried still held"
            context.event("llm.throughput.open_bracket", level="warning", reason=said, tried=list(bracket.tried))
        low = bracket.kept or 0.0
        high = bracket.missed if bracket.missed is not None else low
        context.record_interval("llm.throughput.saturation_per_s", bracket.estimate, low, high)
        self._subject.instrument.limited(context, "llm.throughput.saturation_per_s", bracket.estimate)

    def teardown(self) -> None:
        """Ends the engine where it was started here."""
        self._subject.close()
