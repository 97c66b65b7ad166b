"""The course of long answers, gap by gap: where a stream stalls, and whether later tokens take longer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated

from harness.llm.engine import Engine
from harness.llm.exchange import Exchange
from harness.llm.fit import line
from harness.llm.latency import Gap, gaps
from harness.llm.prompts import Prompts
from harness.llm.schedule import Patience
from harness.llm.workload import Asking
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import ONE_USER, Subject, Supply
from harness.scenarios.settings import settled


@dataclass(frozen=True, kw_only=True)
class Stall:
    """Which gaps are stalls: those longer than so many medians of the answer's gaps, and than so long in any case."""

    times_median: Annotated[float, Range(min=1)]
    at_least_ms: Annotated[float, Range(min=0)]


def stalls(found: Sequence[Gap], rule: Stall) -> list[Gap]:
    """The gaps that are stalls, in their order."""
    if not found:
        return []
    limit_ms = max(rule.times_median * median(gap.ms for gap in found), rule.at_least_ms)
    return [gap for gap in found if gap.ms > limit_ms]


class Streaming:
    """One iteration streams some long answers, one after the other."""

    def __init__(
        self,
        *,
        engine: Engine,
        prompts: Prompts,
        ask: Asking,
        patience: Patience,
        calibration: Calibrating,
        keep: Keep,
        requests: Annotated[int, Range(min=1)],
        stall: Stall,
    ) -> None:
        self._subject = Subject(engine, prompts, ask, patience, calibration)
        self._recorder = Recorder(keep)
        self._requests, self._stall = requests, settled(Stall, stall)

    def setup(self, context: Context) -> None:
        """Starts the engine, and tries the instrument with a stream of the same length."""
        self._subject.open(context)
        self._supply = Supply(lambda: self._subject.workload.requests(self._requests), context)
        self._subject.calibrate(context, ONE_USER, self._subject.workload.requests(1))

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Streams the answers and looks at their gaps."""
        answered = self._subject.ask(context, self._supply.take(), ONE_USER)
        self._recorder.record(context, answered)
        courses = [(exchange, list(gaps(exchange))) for exchange in answered.good]
        count = sum(self._note_stalls(context, exchange, found) for exchange, found in courses)
        self._note_drift(context, [found for _, found in courses])
        for _, found in courses:
            if found:
                context.record("llm.streaming.longest_gap_ms", max(gap.ms for gap in found))
        return {"llm.streaming.stalls": count} if courses else {}

    def _note_stalls(self, context: Context, exchange: Exchange, found: Sequence[Gap]) -> int:
        stalled = stalls(found, self._stall)
        for gap in stalled:
            context.record("llm.streaming.stall_ms", gap.ms)
            context.event("llm.stall", index=exchange.index, before_piece=gap.position, ms=gap.ms)
        return len(stalled)

    def _note_drift(self, context: Context, courses: Sequence[Sequence[Gap]]) -> None:
        """One line through the gaps of all answers, stalls left out: they are told apart."""
        kept = [gap for found in courses for gap in set(found) - set(stalls(found, self._stall)) if gap.is_single]
        fitted = line([gap.position for gap in kept], [gap.ms * 1e3 for gap in kept])
        if fitted is not None:
            slope = fitted.slope
            context.record_interval("llm.streaming.drift_us_per_token", slope.value, slope.low, slope.high)

    def teardown(self) -> None:
        """Ends the engine where it was started here."""
        self._subject.close()
