"""Requests of several classes, first each alone and then together: what large ones do to small ones."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Annotated

from harness.errors import BenchmarkFailed
from harness.llm.engine import Engine
from harness.llm.exchange import Exchange
from harness.llm.latency import first_ms, whole_ms
from harness.llm.load import Load
from harness.llm.prompts import Prompts
from harness.llm.request import Request
from harness.llm.schedule import Patience
from harness.llm.workload import Asking
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import ONE_USER, Subject, Supply
from harness.scenarios.settings import settled

_METRICS = ("llm.mixed.e2e_ms", "llm.mixed.ttft_ms")


@dataclass(frozen=True, kw_only=True)
class Share:
    """One class of requests and its part in the traffic."""

    weight: Annotated[float, Range(above=0)]
    prompt_tokens: Annotated[int, Range(min=1)]
    max_tokens: Annotated[int, Range(min=1)]


class Mixed:
    """One iteration asks a few of each class alone, then all classes together under the load."""

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
        requests: Annotated[int, Range(min=1)],
        alone: Annotated[int, Range(min=1)],
        mix: dict[str, Share],
    ) -> None:
        self._subject = Subject(engine, prompts, ask, patience, calibration)
        self._recorder = Recorder(keep)
        self._load, self._requests, self._alone = load, requests, alone
        self._mix = {name: settled(Share, share) for name, share in mix.items()}
        if len(self._mix) < 2:
            raise ValueError("a mix needs two classes: set scenario.mix")
        self._shortest = min(self._mix, key=lambda name: self._mix[name].prompt_tokens + self._mix[name].max_tokens)

    def setup(self, context: Context) -> None:
        """Starts the engine, and tries the instrument under the mixed load.

        Raises:
            BenchmarkFailed: a class has no declared metrics.
        """
        names = [f"{metric}.{name}" for name in self._mix for metric in _METRICS]
        undeclared = [name for name in names if name not in context.catalogue]
        if undeclared:
            raise BenchmarkFailed(
                f"no metric is declared for {', '.join(undeclared)}",
                f"declare each in your scenario: metrics: {{{undeclared[0]}: {{unit: ms, better: lower}}}}",
            )
        self._subject.open(context)
        self._random = random.Random(context.seed)
        self._supply = Supply(self._make, context)
        self._lonely = Supply(self._each_alone, context)
        requests = self._make()
        self._subject.calibrate(context, self._load.schedule(len(requests), context.seed), requests)

    def _make(self) -> list[Request]:
        """The classes in an order drawn by their weights; each comes at least once."""
        names = list(self._mix)
        drawn = self._random.choices(names, [share.weight for share in self._mix.values()], k=self._requests)
        for name in set(names) - set(drawn):
            drawn[self._random.randrange(len(drawn))] = name
        return [self._request(name) for name in drawn]

    def _each_alone(self) -> list[Request]:
        return [self._request(name) for name in self._mix for _ in range(self._alone)]

    def _request(self, name: str) -> Request:
        share = self._mix[name]
        return self._subject.workload.request(prompt_tokens=share.prompt_tokens, max_tokens=share.max_tokens, tag=name)

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Asks alone, then together, and compares the shortest class with itself."""
        lonely, requests = self._lonely.take(), self._supply.take()
        alone = self._subject.ask(context, lonely, ONE_USER)
        self._recorder.note(context, alone)
        schedule = self._load.schedule(len(requests), context.seed + context.iteration)
        together = self._subject.ask(context, requests, schedule)
        self._recorder.record(context, together)
        for exchange in together.good:
            self._note(context, exchange)
        usual, mixed = (
            [whole_ms(one, one.intended_ns) for one in found.good if one.request.tag == self._shortest]
            for found in (alone, together)
        )
        return {"llm.mixed.interference": median(mixed) / median(usual)} if usual and mixed else {}

    def _note(self, context: Context, exchange: Exchange) -> None:
        tag, since = exchange.request.tag, exchange.intended_ns
        context.record(f"llm.mixed.e2e_ms.{tag}", whole_ms(exchange, since))
        first = first_ms(exchange, since)
        if first is not None:
            context.record(f"llm.mixed.ttft_ms.{tag}", first)

    def teardown(self) -> None:
        """Ends the engine where it was started here."""
        self._subject.close()
