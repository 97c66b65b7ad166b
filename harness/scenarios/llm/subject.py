"""The model under test: started, described, asked under a load, started again when it was lost, ended."""

import functools
import time
from collections import deque
from collections.abc import Callable, Sequence
from os import getpid
from typing import Generic, TypeVar

from harness.errors import BenchmarkFailed, Cancelled
from harness.llm.engine import Engine, Served
from harness.llm.exchange import Exchange
from harness.llm.metrics import Answered
from harness.llm.prompts import Prompts
from harness.llm.request import Request
from harness.llm.schedule import Closed, Patience, Schedule
from harness.llm.server_usage import Usage, usage_of
from harness.llm.workload import Asking, Workload
from harness.measure.energy import PackageEnergy
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating, Instrument
from harness.scenarios.settings import settled

Made = TypeVar("Made")

ONE_USER = Closed((0,))
_PROBE = "Say one word about the weather."
_MOST_AHEAD = 200  # iterations whose requests are made in setup


class Supply(Generic[Made]):
    """What the iterations ask, made ahead in setup, so that the making takes no time of theirs."""

    def __init__(self, make: Callable[[], Made], context: Context) -> None:
        measure = context.config.get("measure", {})
        count = int(measure.get("warmup", 0)) + int(measure.get("iterations", 0))
        self._make = make
        self._ready = deque(make() for _ in range(min(count, _MOST_AHEAD)))

    def take(self) -> Made:
        """The next one."""
        return self._ready.popleft() if self._ready else self._make()


class Subject:
    """One engine with its workload, from `open` to `close`."""

    def __init__(
        self, engine: Engine, prompts: Prompts, ask: Asking, patience: Patience, calibration: Calibrating
    ) -> None:
        """Takes the settings as YAML gives them, or as they are used."""
        self.engine = engine
        self.asking = settled(Asking, ask)
        self._prompts, self._patience = prompts, settled(Patience, patience)
        self.instrument = Instrument(engine, settled(Calibrating, calibration))
        self._energy: PackageEnergy | None = None
        self._said: set[str] = set()
        self.served: Served
        self.workload: Workload

    def open(self, context: Context) -> None:
        """Starts the engine, tells what it is, and finds what its chat template adds to a prompt.

        Raises:
            EngineFailed: the model cannot be loaded or reached.
            BenchmarkFailed: it does not answer a first, small request.
        """
        self.served = self.engine.start(context)
        self._tell(context)
        salt = "" if context.deterministic else context.folder.name
        self.workload = Workload(
            self._prompts,
            self.asking,
            self.engine.count_tokens,
            seed=context.seed,
            salt=salt,
            tell_inexact=functools.partial(self._tell_inexact, context),
        )
        self._find_overhead(context)
        self._energy = PackageEnergy()

    def _tell(self, context: Context) -> None:
        served = self.served
        facts = {key: value for key, value in vars(served).items() if key != "pid"}
        context.describe("llm", **{**facts, "settings": dict(served.settings)})
        context.event("llm.served", model=served.model, engine=served.engine, pid=served.pid, load_ms=served.load_ms)

    def _tell_inexact(self, context: Context, asked: int, made: int) -> None:
        """Says once that the lengths of prompts are not what was asked for; further ones are alike."""
        if "inexact" not in self._said:
            self._said.add("inexact")
            context.event("llm.prompt_length_inexact", level="warning", asked_tokens=asked, made_tokens=made)

    def _find_overhead(self, context: Context) -> None:
        """Asks once: the server's count less the tokenizer's own is what the template, or a first token, adds."""
        request = self.workload.of_text(_PROBE, max_tokens=1)
        exchange = self._answered_alone(context, request)
        counted = self.engine.count_tokens(request.text)
        if exchange.usage is None or counted is None:
            context.event(
                "llm.tokens_estimated",
                level="warning",
                reason="the server gives no usage" if exchange.usage is None else "there is no tokenizer to ask",
            )
            return
        self.workload.overhead_tokens = exchange.usage.input - counted

    def calibrate(self, context: Context, schedule: Schedule, requests: Sequence[Request]) -> None:
        """Finds and tells the instrument's own error under this shape of load; see `Instrument`."""
        if self.instrument.is_tried(context):
            self.instrument.calibrate(context, schedule, self._answered_alone(context, requests[0]))

    def _answered_alone(self, context: Context, request: Request) -> Exchange:
        """What comes of one request without any load.

        Raises:
            BenchmarkFailed: there is no whole answer.
            Cancelled: the run ended meanwhile.
        """
        exchanges = self.ask(context, [request], ONE_USER).final
        if context.cancelled or not exchanges:
            raise Cancelled
        failure = exchanges[0].failure
        if failure is not None:
            raise BenchmarkFailed(
                f"the model does not answer a first request: {failure.reason}: {failure.message}",
                "look at the engine's log in the run's folder, or at the server's own",
            )
        return exchanges[0]

    def ask(self, context: Context, requests: Sequence[Request], schedule: Schedule) -> Answered:
        """Sends the requests by the schedule; an owned server that was lost is started again first.

        Raises:
            EngineFailed: it was lost and cannot be started again.
        """
        self.served = self.engine.revive(context)
        usage = usage_of(self.served, getpid())
        usage.begin()
        cpu_s = time.process_time()
        try:
            exchanges = self.engine.exchange(requests, schedule, self._patience, context)
        finally:
            cpu_s = time.process_time() - cpu_s
            found = usage.finish()
        self._tell_usage(context, found)
        return Answered(tuple(exchanges), found, cpu_s)

    def _tell_usage(self, context: Context, found: Usage) -> None:
        """Says once whose memory and CPU time the metrics of the server are, or why there are none."""
        metrics = ("llm.server_cpu_s", "llm.server_rss_peak_mb", "llm.server_rss_mean_mb")
        if found.reason is not None:
            self._unavailable(context, metrics, found.reason)
        elif found.basis not in self._said:
            self._said.add(found.basis)
            context.describe("llm_usage", basis=found.basis, metrics=list(metrics))

    def joules(self, context: Context) -> float | None:
        """Energy of the host's CPU packages since the last call; None, and said once, where it does not tell."""
        if self._energy is None:
            return None
        if self._energy.reason is not None:
            self._unavailable(context, ("llm.joules_per_token",), self._energy.reason)
        return self._energy.since_last_j()

    def _unavailable(self, context: Context, metrics: Sequence[str], reason: str) -> None:
        for metric in metrics:
            if metric not in self._said:
                self._said.add(metric)
                context.event("metric.unavailable", metric=metric, reason=reason)

    def close(self) -> None:
        """Ends what was started."""
        self.engine.close()
