"""The same requests by more and more users at once: what the server gains by serving several, and what each pays."""

import random
from collections.abc import Mapping
from statistics import median
from typing import Annotated

from harness.errors import BenchmarkFailed
from harness.llm.engine import Engine
from harness.llm.latency import whole_ms
from harness.llm.load import Users
from harness.llm.metrics import Answered
from harness.llm.prompts import Prompts
from harness.llm.request import Request
from harness.llm.schedule import Closed, Patience
from harness.llm.workload import Asking
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import Subject, Supply

_RATE = "llm.concurrent.tokens_per_s"


class Concurrent:
    """One iteration applies a closed loop of each number of users, in an order drawn anew."""

    def __init__(
        self,
        *,
        engine: Engine,
        prompts: Prompts,
        ask: Asking,
        patience: Patience,
        calibration: Calibrating,
        keep: Keep,
        users: list[Annotated[int, Range(min=1)]],
        requests_each: Annotated[int, Range(min=1)],
    ) -> None:
        self._subject = Subject(engine, prompts, ask, patience, calibration)
        self._recorder = Recorder(keep)
        self._users, self._each = sorted(set(users)), requests_each
        if len(self._users) < 2:
            raise ValueError("a comparison needs two different numbers of users: set scenario.users=[1,4]")

    def setup(self, context: Context) -> None:
        """Starts the engine, and tries the instrument under the most users.

        Raises:
            BenchmarkFailed: the rate of a number of users has no declared metric.
        """
        undeclared = [f"{_RATE}.{users}" for users in self._users if f"{_RATE}.{users}" not in context.catalogue]
        if undeclared:
            raise BenchmarkFailed(
                f"no metric is declared for {', '.join(undeclared)}",
                f"declare it in a scenario of your own: metrics: {{{undeclared[0]}: {{unit: 1/s, better: higher}}}}",
            )
        self._subject.open(context)
        self._random = random.Random(context.seed)
        self._supply = Supply(self._make, context)
        most = self._users[-1]
        self._subject.calibrate(context, _at_once(most, most), self._subject.workload.requests(most))

    def _make(self) -> dict[int, list[Request]]:
        workload = self._subject.workload
        return {users: workload.requests(users * self._each, f"{users} users") for users in self._users}

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Applies each load and compares them."""
        requests = self._supply.take()
        rates: dict[int, float] = {}
        waits: dict[int, float] = {}
        for users in self._random.sample(self._users, len(self._users)):
            answered = self._subject.ask(context, requests[users], _at_once(users, len(requests[users])))
            self._recorder.record(context, answered)
            self._note(users, answered, rates, waits)
            if context.cancelled:
                return {}
        for users, rate in rates.items():
            context.record(f"{_RATE}.{users}", rate)
        fewest, most = self._users[0], self._users[-1]
        if fewest not in rates or most not in rates:
            return {}
        best = max(rates, key=lambda users: rates[users])
        return {
            "llm.concurrent.best_users": best,
            "llm.concurrent.speedup": rates[best] / rates[fewest],
            "llm.concurrent.efficiency": rates[most] / (rates[fewest] * most / fewest),
            "llm.concurrent.slowdown": waits[most] / waits[fewest],
        }

    def _note(self, users: int, answered: Answered, rates: dict[int, float], waits: dict[int, float]) -> None:
        if answered.tokens_per_s:
            rates[users] = answered.tokens_per_s
            waits[users] = median(whole_ms(exchange, exchange.sent_ns) for exchange in answered.good)

    def teardown(self) -> None:
        """Ends the engine where it was started here."""
        self._subject.close()


def _at_once(users: int, requests: int) -> Closed:
    return Users(users=users, ramp_s=0.0, think_s=0.0).schedule(requests, 0)
