"""Requests under any shape of load: users, constant or random rates, bursts, ramps, traces of one's own."""

from collections.abc import Mapping
from statistics import median
from typing import Annotated

from harness.llm.engine import Engine
from harness.llm.latency import whole_ms
from harness.llm.load import Load
from harness.llm.prompts import Prompts
from harness.llm.request import Request
from harness.llm.schedule import Patience, Schedule
from harness.llm.slo import Slo
from harness.llm.trace import Trace
from harness.llm.workload import Asking
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import ONE_USER, Subject, Supply
from harness.scenarios.settings import settled


class Traffic:
    """One iteration is one load; each request is timed from when it was sent and from when it was to be sent."""

    def __init__(
        self,
        *,
        engine: Engine,
        prompts: Prompts,
        ask: Asking,
        patience: Patience,
        calibration: Calibrating,
        keep: Keep,
        load: Load,
        requests: Annotated[int, Range(min=1)] | None,
        alone: Annotated[int, Range(min=1)],
        slo: Slo,
    ) -> None:
        self._subject = Subject(engine, prompts, ask, patience, calibration)
        self._recorder = Recorder(keep)
        self._load, self._slo = load, settled(Slo, slo)
        self._asks = load.asks() if isinstance(load, Trace) else []
        if requests is None and not self._asks:
            raise ValueError("scenario.requests must be given; only a trace says by itself how many there are")
        self._alone = alone
        self._count = requests if requests is not None else len(self._asks)

    def setup(self, context: Context) -> None:
        """Starts the engine and tries the instrument under the same shape of load."""
        self._subject.open(context)
        self._supply = Supply(self._make, context)
        self._lonely = Supply(lambda: self._make()[: self._alone], context)
        self._subject.calibrate(context, self._schedule(context), self._make())

    def _make(self) -> list[Request]:
        workload = self._subject.workload
        return workload.of(self._asks[: self._count]) if self._asks else workload.requests(self._count)

    def _schedule(self, context: Context) -> Schedule:
        return self._load.schedule(self._count, context.seed + context.iteration)

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Asks a few requests alone, then applies the load; the difference is what waiting for others costs."""
        requests = self._supply.take()
        alone = self._subject.ask(context, self._lonely.take(), ONE_USER)
        self._recorder.note(context, alone)
        self._subject.joules(context)
        answered = self._subject.ask(context, requests, self._schedule(context))
        joules, tokens = self._subject.joules(context), answered.output_tokens
        self._recorder.record(context, answered, self._slo)
        if alone.good:
            usual_ms = median(whole_ms(exchange, exchange.sent_ns) for exchange in alone.good)
            for exchange in answered.good:
                context.record("llm.latency.queueing_ms", whole_ms(exchange, exchange.intended_ns) - usual_ms)
        return {"llm.joules_per_token": joules / tokens} if joules is not None and tokens else {}

    def teardown(self) -> None:
        """Ends the engine where it was started here."""
        self._subject.close()
