"""The first token of a model that is loaded: of a prompt that it has not seen, and of one that it has just answered."""

from collections.abc import Mapping

from harness.llm.engine import Engine
from harness.llm.exchange import Exchange
from harness.llm.latency import first_ms
from harness.llm.prompts import Prompts
from harness.llm.request import Request
from harness.llm.schedule import Patience
from harness.llm.workload import Asking
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import ONE_USER, Subject, Supply


class WarmStart:
    """One iteration asks the same prompt twice: the first time it is new, the second time its prefix may be cached.

    The evidence is the server's own count of cached tokens, where it tells.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        prompts: Prompts,
        ask: Asking,
        patience: Patience,
        calibration: Calibrating,
        keep: Keep,
    ) -> None:
        self._subject = Subject(engine, prompts, ask, patience, calibration)
        self._recorder = Recorder(keep)
        self._made = 0

    def setup(self, context: Context) -> None:
        """Starts the engine, and tries the instrument with the same request."""
        self._subject.open(context)
        self._supply = Supply(self._make, context)
        self._subject.calibrate(context, ONE_USER, [self._make()])

    def _make(self) -> Request:
        """A prompt without precedent, asked in a way that lets the server keep what it has read."""
        self._made += 1
        workload = self._subject.workload
        tokens = workload.asking.prompt_tokens
        if tokens is None:
            return workload.request(prefix_cache=True)
        return workload.alike(self._made, prompt_tokens=tokens, max_tokens=workload.asking.max_tokens)

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Asks twice."""
        request = self._supply.take()
        answered = self._subject.ask(context, [request, request], ONE_USER)
        self._recorder.record(context, answered)
        if len(answered.good) < 2:
            return {}
        new, again = answered.good
        warm_ms, cached_ms = first_ms(new, new.sent_ns), first_ms(again, again.sent_ns)
        if warm_ms is None or cached_ms is None:
            return {}
        self._check(context, new, again)
        for metric in ("llm.start.warm_ms", "llm.start.prefix_cached_ms"):
            self._subject.instrument.scaled(context, metric, "llm.ttft_ms", 1.0)
        return {
            "llm.start.warm_ms": warm_ms,
            "llm.start.prefix_cached_ms": cached_ms,
            "llm.start.prefix_saving": 1 - cached_ms / warm_ms,
        }

    def _check(self, context: Context, new: Exchange, again: Exchange) -> None:
        """Says when the first was no new prompt, or the second was not cached, by the server's own count."""
        first, second = (exchange.usage.cached if exchange.usage else None for exchange in (new, again))
        if second is None:
            context.event("metric.unavailable", metric="llm.cached_tokens", reason="the server does not tell")
        elif second <= (first or 0):
            context.event("llm.start.prefix_not_cached", level="warning", first=first, second=second)

    def teardown(self) -> None:
        """Ends the engine where it was started here."""
        self._subject.close()
