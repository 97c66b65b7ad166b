"""From nothing to the first token: with the model's file in the page cache, and with it on the disk alone."""

import functools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from harness.errors import BenchmarkFailed
from harness.llm import page_cache
from harness.llm.engine import Engine
from harness.llm.model_file import find_model
from harness.llm.prompts import Prompts
from harness.llm.schedule import Patience
from harness.llm.workload import Asking
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import ONE_USER, Subject

State = Literal["page_cache_cold", "cold"]
_STATES: tuple[State, ...] = ("page_cache_cold", "cold")


class ColdStart:
    """One iteration starts the engine from each state, in an order drawn anew, and asks for one token.

    The evidence is the share of the file in the page cache just before each start. A file that could not be dropped,
    because another process has it mapped, makes no page-cache-cold start: that one is left out and told.
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
        resident_at_most: Annotated[float, Range(min=0, max=1)],
    ) -> None:
        self._make = engine
        self._prompts, self._asking = prompts, ask
        self._patience, self._calibrating = patience, calibration
        self._recorder = Recorder(keep)
        self._at_most = resident_at_most
        self._engine: Engine | None = None
        self._files: Sequence[Path] = ()

    def setup(self, context: Context) -> None:
        """Starts the engine once, to learn what it is and to make the request that all starts will answer."""
        self._files = _files_of(self._make)
        engine = self._engine = self._make()
        subject = Subject(engine, self._prompts, self._asking, self._patience, self._calibrating)
        subject.open(context)
        self._request = subject.workload.request(max_tokens=1)
        subject.calibrate(context, ONE_USER, [self._request])
        self._instrument = subject.instrument
        subject.close()
        self._random = random.Random(context.seed)
        if (reason := page_cache.can_drop()) is not None:
            context.event("metric.unavailable", metric="llm.start.page_cache_cold_ms", reason=reason)

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Starts from each state."""
        found: dict[str, float] = {}
        for state in self._random.sample(_STATES, len(_STATES)):
            if context.cancelled:
                return {}
            if self._prepare(context, state, found):
                found |= self._start(context, state)
        if all(f"llm.start.{state}_ms" in found for state in _STATES):
            found["llm.start.disk_ms"] = found["llm.start.page_cache_cold_ms"] - found["llm.start.cold_ms"]
        return found

    def _prepare(self, context: Context, state: State, found: dict[str, float]) -> bool:
        """Brings the file's pages into the state; whether that worked, by the kernel's own word."""
        if state == "cold":
            page_cache.fill(self._files)
        elif page_cache.can_drop() is None:
            page_cache.drop(self._files)
        else:
            return False
        share = page_cache.resident_share(self._files)
        if share is None:
            return True
        if state == "page_cache_cold" and share > self._at_most:
            reason = "another process has the file mapped, or the file system keeps it"
            context.event("llm.start.not_cold", level="warning", resident_share=share, reason=reason)
            return False
        found[f"llm.start.{state}_resident"] = share
        return True

    def _start(self, context: Context, state: State) -> dict[str, float]:
        engine = self._engine = self._make()
        subject = Subject(engine, self._prompts, self._asking, self._patience, self._calibrating)
        started_ns = time.monotonic_ns()
        try:
            subject.served = engine.start(context)
            ready_ns = time.monotonic_ns()
            answered = subject.ask(context, [self._request], ONE_USER)
        finally:
            subject.close()
        self._recorder.record(context, answered)
        if not answered.good or not answered.good[0].pieces:
            return {}
        first_ms = (answered.good[0].pieces[0].at_ns - started_ns) / 1e6
        self._instrument.scaled(context, f"llm.start.{state}_ms", "llm.ttft_ms", 1.0)
        loaded_ms = subject.served.load_ms
        return {
            f"llm.start.{state}_ms": first_ms,
            f"llm.start.{state}_load_ms": (ready_ns - started_ns) / 1e6 if loaded_ms is None else loaded_ms,
        }

    def teardown(self) -> None:
        """Ends the engine that a failure may have left."""
        if self._engine is not None:
            self._engine.close()


def _files_of(make: Callable[..., Engine]) -> Sequence[Path]:
    """The files of the model that the engine will load.

    Raises:
        BenchmarkFailed: the engine loads none of this host, so it cannot be started cold.
    """
    settings = make.keywords if isinstance(make, functools.partial) else {}
    if "model_path" not in settings:
        raise BenchmarkFailed(
            "this engine loads no file of this host, so it cannot be started cold",
            "choose one that the harness starts itself, such as llm=smollm2",
        )
    return find_model(settings["model_path"]).parts
