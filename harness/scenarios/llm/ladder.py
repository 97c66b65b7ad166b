"""One length varied and all else kept: what a further token costs, as the slope of a line with its interval."""

import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from harness.errors import BenchmarkFailed
from harness.llm.engine import Engine
from harness.llm.exchange import Exchange
from harness.llm.fit import Line, growth, line
from harness.llm.latency import first_ms, whole_ms
from harness.llm.prompts import Prompts
from harness.llm.request import Request
from harness.llm.schedule import Patience
from harness.llm.workload import Asking
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import ONE_USER, Subject, Supply

Vary = Literal["prompt_tokens", "prompt_share", "max_tokens"]
Time = Literal["ttft", "e2e"]


class Ladder:
    """One iteration asks at every level, in an order drawn anew, and puts one line through all answers."""

    def __init__(
        self,
        *,
        engine: Engine,
        prompts: Prompts,
        ask: Asking,
        patience: Patience,
        calibration: Calibrating,
        keep: Keep,
        vary: Vary,
        levels: list[Annotated[float, Range(above=0)]],
        repeats: Annotated[int, Range(min=1)],
        time: Time,
        slope: str,
        fixed: str | None,
        growth: str | None,
    ) -> None:
        self._subject = Subject(engine, prompts, ask, patience, calibration)
        self._recorder = Recorder(keep)
        self._vary, self._levels, self._repeats = vary, levels, repeats
        self._time = time
        self._slope, self._fixed, self._growth = slope, fixed, growth
        if len(set(levels)) < 2 or len(levels) * repeats < 3:
            raise ValueError("a line needs two different levels and three requests: set scenario.levels and .repeats")

    def setup(self, context: Context) -> None:
        """Starts the engine, and tries the instrument with requests of the middle length."""
        self._subject.open(context)
        self._random = random.Random(context.seed)
        self._supply = Supply(self._make, context)
        middle = sorted(self._levels)[len(self._levels) // 2]
        self._subject.calibrate(context, ONE_USER, [self._at(middle)])

    def _make(self) -> list[Request]:
        levels = [level for level in self._levels for _ in range(self._repeats)]
        self._random.shuffle(levels)
        return [self._at(level) for level in levels]

    def _at(self, level: float) -> Request:
        workload, tag = self._subject.workload, f"{level:g}"
        if self._vary == "max_tokens":
            return workload.request(max_tokens=round(level), tag=tag)
        if self._vary == "prompt_tokens":
            return workload.request(prompt_tokens=round(level), tag=tag)
        context_tokens = self._subject.served.context_tokens
        if context_tokens is None:
            raise BenchmarkFailed(
                "the server does not say how long its context is, so no share of it can be asked",
                "give lengths instead: scenario.vary=prompt_tokens scenario.levels=[512,1024,2048]",
            )
        room = context_tokens - self._subject.asking.max_tokens - 1
        return workload.request(prompt_tokens=max(1, round(level * room)), tag=tag)

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Asks at every level and fits."""
        answered = self._subject.ask(context, self._supply.take(), ONE_USER)
        self._recorder.record(context, answered)
        points = [point for exchange in answered.good if (point := self._point(exchange))]
        if not answered.good:
            return {}
        if not points:
            raise BenchmarkFailed(
                "the answers come without a count of their tokens, or were not streamed: nothing to hold times against",
                "use a server that gives usage, and scenario.ask.stream=true",
            )
        xs, ys = [x for x, _ in points], [y for _, y in points]
        fitted = line(xs, ys)
        if fitted is None:
            context.event("llm.ladder.too_few", level="warning", answers=len(points))
            return {}
        self._record(context, fitted, xs)
        grown = growth(xs, ys) if self._growth is not None else None
        return {} if grown is None or self._growth is None else {self._growth: grown}

    def _point(self, exchange: Exchange) -> tuple[float, float] | None:
        """Tokens by the server's own count, and the time held against them."""
        if exchange.usage is None:
            return None
        tokens = exchange.usage.output if self._vary == "max_tokens" else exchange.usage.input
        times = {"ttft": first_ms(exchange, exchange.sent_ns), "e2e": whole_ms(exchange, exchange.sent_ns)}
        found = times[self._time]
        return None if found is None else (tokens, found)

    def _record(self, context: Context, fitted: Line, xs: Sequence[float]) -> None:
        """The line's two numbers with their intervals, and what the instrument may have added to each.

        At worst it errs upwards at one end and downwards at the other.
        """
        slope, fixed = fitted.slope, fitted.intercept
        tilt = 2 / (max(xs) - min(xs))
        instrument, metric = self._subject.instrument, f"llm.{self._time}_ms"
        context.record_interval(self._slope, slope.value, slope.low, slope.high)
        if not slope.low <= 0 <= slope.high:  # of a slope that may be nothing, no error is a small share
            instrument.scaled(context, self._slope, metric, tilt)
        if self._fixed is not None:
            context.record_interval(self._fixed, fixed.value, fixed.low, fixed.high)
            instrument.scaled(context, self._fixed, metric, 1 + tilt * sum(xs) / len(xs))

    def teardown(self) -> None:
        """Ends the engine where it was started here."""
        self._subject.close()
