"""Fresh pairs of processes, measured turn by turn: what a comparison counts."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from harness.engine.arms import Arm, ArmRequest, Arms
from harness.engine.signals import CancelRequest
from harness.gates.decide.chunks import best
from harness.gates.decide.design import Design, orders
from harness.measure import psi
from harness.process.launcher import Launcher, Start

NULL = "null"  # the arm that runs what A runs, in a process of its own
_PROBE_TURNS = 3  # of each arm, by which the first pair finds how long a round takes


@dataclass(frozen=True)
class ArmSpec:
    """What one arm runs: a composed configuration, in the code that lies in `path` or in a checkout."""

    config: Mapping[str, Any]
    device: str
    start: Start = "fork"
    preload: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    checkout: Path | None = None
    timeout_s: float = 300.0


@dataclass(frozen=True)
class Pair:
    """The values of one pair: of each arm one a round, in the order of the rounds."""

    values: Mapping[str, Sequence[float]]
    calls: Mapping[str, int]  # timed calls of each arm; equal, since an arm that is called more often is faster
    pids: Mapping[str, int]
    code: Mapping[str, str | None]
    duration_s: float
    pressure: float | None


@dataclass
class PairRunner:
    """Measures one pair after the other by one plan."""

    launcher: Launcher
    cancel: CancelRequest
    folder: Path
    arms: Mapping[str, ArmSpec]
    metric: str
    design: Design
    random: Random
    write_output: Callable[[str, bytes], None]
    higher_is_better: bool = False
    rounds: int = 0  # found by the first pair
    _number: int = field(default=0)

    def run(self) -> Pair:
        """Starts an arm of each kind anew, has them take equal turns, and ends them.

        Raises:
            RefusedError: an arm cannot be built with its configuration.
            BenchmarkFailed: a call failed or was too late, or a process ended.
            Cancelled: a cancel was asked for; nothing of this pair is kept.
        """
        started = time.monotonic()
        arms = Arms(self.launcher, self.cancel, self.write_output)
        folder = self.folder / f"pair-{self._number}"
        self._number += 1
        try:
            # The order of starting is drawn too: the first process may get the warmer memory.
            names = self.random.sample(list(self.arms), len(self.arms))
            living = {name: arms.start(self._request(name, folder)) for name in names}
            self.rounds = self.rounds or self._fitting(arms, living)
            values = self._rounds(arms, living)
            return Pair(
                values,
                {name: arm.calls for name, arm in living.items()},
                {name: arm.worker.pid for name, arm in living.items()},
                {name: arm.code for name, arm in living.items()},
                time.monotonic() - started,
                psi.pressure("cpu"),
            )
        finally:
            arms.end()
            shutil.rmtree(folder, ignore_errors=True)

    def _request(self, name: str, folder: Path) -> ArmRequest:
        spec = self.arms[name]
        own = folder / name
        own.mkdir(parents=True)
        message = {
            "do": "prepare",
            "config": spec.config,
            "device": spec.device,
            "folder": str(own),
            "samples": str(own / "samples.bin"),
            "metric": self.metric,
            "remaining_s": spec.timeout_s,
            "checkout": None if spec.checkout is None else str(spec.checkout),
        }
        # A checkout must not see what was imported before; and all arms start alike, since how a process came to be
        # (what it shares with its parent) shows in its times.
        elsewhere = any(each.checkout is not None for each in self.arms.values())
        start: Start = "fresh" if elsewhere and spec.start == "fork" else spec.start
        preload = () if elsewhere else spec.preload
        return ArmRequest(name, message, start, preload, spec.path, spec.timeout_s)

    def _turn(self, arms: Arms, arm: Arm) -> float:
        values = arms.turn(arm, self.design.discard, self.design.calls, self.arms[arm.name].timeout_s)
        return best(values, len(values), higher_is_better=self.higher_is_better)[0]

    def _fitting(self, arms: Arms, living: Mapping[str, Arm]) -> int:
        started = time.monotonic()
        for order in orders(tuple(living), _PROBE_TURNS, self.random):
            for name in order:
                self._turn(arms, living[name])
        for arm in living.values():
            arm.calls = 0
        return self.design.rounds_within((time.monotonic() - started) / _PROBE_TURNS)

    def _rounds(self, arms: Arms, living: Mapping[str, Arm]) -> dict[str, list[float]]:
        values: dict[str, list[float]] = {name: [] for name in self.arms}
        for order in orders(tuple(living), self.rounds, self.random):
            for name in order:
                values[name].append(self._turn(arms, living[name]))
        return values
