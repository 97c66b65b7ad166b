"""Contexts of several sizes, each in a server of its own: what a token of context takes in memory."""

from collections.abc import Callable, Mapping
from os import getpid
from typing import Annotated

from harness.errors import BenchmarkFailed
from harness.llm.engine import Engine
from harness.llm.fit import line
from harness.llm.prompts import Prompts
from harness.llm.schedule import Patience
from harness.llm.workload import Asking
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import ONE_USER, Subject
from harness.scenarios.settings import settled

_MIB = 2**20


class Memory:
    """One iteration starts the engine once for each size of context and asks it once.

    What is measured is the peak of the whole process tree of the server, never the client's memory.
    """

    def __init__(
        self,
        *,
        engine: Callable[..., Engine],
        prompts: Prompts,
        ask: Asking,
        patience: Patience,
        calibration: Calibrating,
        keep: Keep,
        contexts: list[Annotated[int, Range(min=1)]],
        fill: Annotated[float, Range(min=0, max=1)],
    ) -> None:
        self._make = engine
        self._prompts, self._asking = prompts, settled(Asking, ask)
        self._patience, self._calibrating = patience, calibration
        self._recorder = Recorder(keep)
        self._contexts, self._fill = sorted(set(contexts)), fill
        self._subject: Subject | None = None
        if len(self._contexts) < 3:
            raise ValueError("a line with an interval needs three sizes: set scenario.contexts=[512,2048,4096]")

    def setup(self, context: Context) -> None:
        """Nothing is started yet: every size has a server of its own."""

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Puts one line through the peaks of all sizes.

        Raises:
            BenchmarkFailed: the server's memory cannot be seen, or cannot be told from the client's.
        """
        peaks_mb: dict[int, float] = {}
        for tokens in self._contexts:
            if context.cancelled:
                return {}
            peak = self._peak_mb(context, tokens)
            if peak is not None:
                peaks_mb[tokens] = peak
                context.event("llm.memory.peak", context_tokens=tokens, rss_peak_mb=peak)
        fitted = line(list(peaks_mb), list(peaks_mb.values()))
        if fitted is None:
            return {}
        slope, fixed = fitted.slope, fitted.intercept
        bounds = (slope.value * _MIB, slope.low * _MIB, slope.high * _MIB)
        context.record_interval("llm.memory.bytes_per_context_token", *bounds)
        context.record_interval("llm.memory.fixed_mb", fixed.value, fixed.low, fixed.high)
        return {}

    def _peak_mb(self, context: Context, tokens: int) -> float | None:
        """The peak of a server with so much context while it answers once; None where that failed."""
        engine = self._make(context_tokens=tokens)
        self._subject = Subject(engine, self._prompts, self._asking, self._patience, self._calibrating)
        try:
            self._subject.open(context)
            if self._subject.served.pid is None:
                raise BenchmarkFailed("the server's processes cannot be seen from here", "choose llm=smollm2")
            if self._subject.served.pid == getpid():
                raise BenchmarkFailed(
                    "the model runs in the process that measures: what it frees stays there, and the next size uses it",
                    "choose an engine with a process of its own, such as llm=smollm2",
                )
            prompt = max(self._asking.prompt_tokens or 1, round(self._fill * (tokens - self._asking.max_tokens)))
            answered = self._subject.ask(context, [self._subject.workload.request(prompt_tokens=prompt)], ONE_USER)
        finally:
            self._subject.close()
        self._recorder.record(context, answered)
        return answered.server.rss_peak_mb if answered.good else None

    def teardown(self) -> None:
        """Ends the server of the last size, where a failure left it."""
        if self._subject is not None:
            self._subject.close()
