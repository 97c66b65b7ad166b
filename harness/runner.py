"""What can be measured, and what the engine gives to it."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from harness.errors import BenchmarkFailed
from harness.measure.catalogue import Metric
from harness.measure.outcome import Outcome
from harness.measure.samples import Flag, Phase, SampleFile

Emit = Callable[[str, Mapping[str, Any]], None]


@dataclass
class Context:
    """The engine's side of a run, as a Runner sees it.

    `record` is for numbers and costs no system call; `event` is for what happens at most a few times a second.
    """

    samples: SampleFile
    catalogue: Mapping[str, Metric]
    emit: Emit
    folder: Path
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    deterministic: bool = False
    deadline_ns: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    redact: Callable[[Any], Any] = lambda value: value  # takes secrets out of what a runner writes into its folder
    iteration: int = 0
    phase: Phase = Phase.SETUP
    _tags: dict[str, int] = field(default_factory=dict)
    past: Sequence[Path] = ()  # folders of the runs that this one goes on from, newest first
    earlier_ms: float = 0.0  # what this iteration had taken before it was cut short; added to its duration
    _outcome: Outcome | None = None

    def record(self, metric: str, value: float) -> None:
        """Adds a sample of a declared metric to this iteration.

        Raises:
            BenchmarkFailed: the metric is declared neither in the catalogue nor under `metrics:`.
        """
        self._add(metric, value, Flag.SAMPLE)

    def record_interval(self, metric: str, estimate: float, low: float, high: float) -> None:
        """Adds a sample that is itself an estimate, with the bounds of its confidence interval."""
        self._add(metric, estimate, Flag.SAMPLE)
        self._add(metric, low, Flag.LOW)
        self._add(metric, high, Flag.HIGH)

    def _add(self, metric: str, value: float, flag: Flag) -> None:
        tag = self._tags.get(metric)
        if tag is None:
            tag = self._tags[metric] = self._identify(metric)
        if self.phase != Phase.MEASURE:
            flag |= Flag.WARMUP
        self.samples.add(tag | flag << 16 | self.iteration << 32, time.perf_counter_ns(), value)

    def _identify(self, metric: str) -> int:
        self._require(metric)
        return self.samples.id_of(metric)

    def _require(self, metric: str) -> None:
        if metric not in self.catalogue:
            from difflib import get_close_matches

            near = get_close_matches(metric, self.catalogue, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise BenchmarkFailed(
                f"the metric {metric!r} is not declared",
                f"{hint}Declare it under `metrics:` in the scenario's YAML, as `{metric}: {{unit: ms, better: lower}}`",
            )

    def instrument_error(self, metric: str, plus_minus: float, *, basis: str) -> None:
        """Says how far the instrument itself may have moved the values of a metric, in that metric's unit.

        `basis` is how this was found, in a few words. Of several the largest holds, for the whole run. Beyond
        `measure.error_share_limit` of the metric's median it is not measurable here: its rules are inconclusive.

        Raises:
            BenchmarkFailed: the metric is not declared, or the error is no finite number from 0 up.
        """
        self._require(metric)
        if not math.isfinite(plus_minus) or plus_minus < 0:
            raise BenchmarkFailed(f"the instrument error of {metric!r} is {plus_minus!r}, not a number from 0 up")
        self.event("metric.instrument_error", metric=metric, plus_minus=plus_minus, basis=basis)

    def describe(self, part: str, **facts: Any) -> None:
        """Adds facts to the result's environment, under the name of a part: what was measured, with which settings.

        Facts told twice replace those told before; values must be JSON.
        """
        self.event("environment.described", part=part, facts=facts)

    def event(self, name: str, /, **attributes: Any) -> None:
        """Tells the supervisor that something happened; values must be JSON.

        A `level` of its own (debug, info, warning, error, critical) is that of the log; without one it is debug, or
        warning where the name ends in `failed`.
        """
        self.emit(name, {"iteration": self.iteration, "phase": self.phase.name.lower(), **attributes})

    def fingerprint(self, data: bytes) -> None:
        """Adds to the hash of the outcome (losses, tokens), which two runs of one configuration must share."""
        if self.phase == Phase.MEASURE:
            self._outcome = self._outcome or Outcome(self.samples)
            self._outcome.add(data, self.iteration)

    @property
    def outcome(self) -> str | None:
        """The hash over all fingerprints so far, None where the runner gave none."""
        return (self._outcome or Outcome(self.samples)).hex

    @property
    def cancelled(self) -> bool:
        """Whether the run is to end; long iterations ask now and then."""
        return self.samples.cancelled

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the run's time limit, None without one."""
        return None if self.deadline_ns is None else (self.deadline_ns - time.monotonic_ns()) / 1e9

    @property
    def pid(self) -> int:
        """The process that is measured, as evidence in events."""
        return os.getpid()


@runtime_checkable
class Runner(Protocol):
    """One thing worth measuring. The engine times `iterate`; setup and teardown are free."""

    def setup(self, context: Context) -> None:
        """Builds everything that should not be timed."""

    def iterate(self, context: Context) -> Mapping[str, float] | None:
        """Does the work once; may return further declared metrics of this iteration."""

    def teardown(self) -> None:
        """Releases what `setup` took; called also after a failure or a cancel."""
