"""How often the verdicts of `ab` are wrong: false alarms and misses, beside those of other tools on the same samples.

One iteration is one trial: unchanged work against itself, and against the same work with a twentieth more of it, in
one process. Every few trials a fresh set of processes is measured too, from which the verdicts over pairs of processes
are resampled at the end. An alarm in either direction on unchanged work is a false one, for us and for the others.
"""

import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from statistics import median
from typing import Annotated, Any

from harness.engine.pairs import NULL, ArmSpec, PairRunner
from harness.engine.signals import CancelRequest
from harness.gates.decide.chunks import log_ratios
from harness.gates.decide.decision import Decision, decide, wants_more
from harness.gates.decide.design import Design, orders
from harness.gates.decide.noise import resampled
from harness.gates.decide.peers import PEERS
from harness.gates.decide.proportion import clopper_pearson
from harness.process.launcher import Launcher
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.bench.counted import CountedWork, Kind

_TARGET = "harness.scenarios.bench.counted.CountedWork"
_ALARMS = ("slower", "faster")
_DRAWS = 1000  # of a bootstrap; there are thousands of them
_WARM_UP = 5
Times = dict[str, list[float]]


class Detection:
    """Counts the wrong verdicts of our rule and of four others."""

    def __init__(
        self,
        *,
        kind: Kind,
        units: Annotated[int, Range(min=20)],
        more_units: Annotated[int, Range(min=1)],
        short_rounds: Annotated[int, Range(min=5)],
        rounds: Annotated[int, Range(min=10)],
        pair_every: Annotated[int, Range(min=1)],
        pair_rounds: Annotated[int, Range(min=5)],
        resamples: Annotated[int, Range(min=1)],
    ) -> None:
        self._kind: Kind = kind
        self._units = {"A": units, NULL: units, "B": units + more_units}
        self._short_rounds, self._rounds = short_rounds, rounds
        self._pair_every = pair_every
        self._resamples = resamples
        self._design = Design(rounds=pair_rounds)
        self._counts: Counter[str] = Counter()
        self._before: Times | None = None
        self._groups: dict[str, list[list[float]]] = {NULL: [], "B": []}
        self._launcher = Launcher()
        self._cancel = CancelRequest()

    def setup(self, context: Context) -> None:
        """Prepares what measures pairs of processes; they are forked from a zygote of their own."""
        self._random = Random(context.seed)
        arms = {name: self._arm(context, units) for name, units in self._units.items()}
        self._pairs = PairRunner(
            self._launcher,
            self._cancel,
            Path(context.folder) / "pairs",
            arms,
            "iteration.duration_ms",
            self._design,
            self._random,
            lambda name, data: None,
        )

    def _arm(self, context: Context, units: int) -> ArmSpec:
        config: dict[str, Any] = {
            **context.config,
            "scenario": {"_target_": _TARGET, "units": units, "kind": self._kind},
            "measure": {**context.config["measure"], "warmup": _WARM_UP},
        }
        preload = ("harness.engine.arm", "harness.config.build", *(("torch",) if self._kind == "mlp" else ()))
        return ArmSpec(config, context.device, "fork", preload, tuple(path for path in sys.path if path))

    def iterate(self, context: Context) -> None:
        """One trial, now and then a set of processes, and after the last trial the verdicts over pairs."""
        times = self._trial()
        context.record("bench.detection.work_ms", median(times["A"]))
        self._judge(context, times)
        self._judge_peers(context, times)
        self._before = times
        if context.iteration % self._pair_every == 0:
            self._measure_pair()
        if context.iteration == context.config["measure"]["iterations"] - 1:
            self._conclude(context)

    def _trial(self) -> Times:
        """The times of all three arms, which take turns in an order drawn anew for each round."""
        runners = {}
        for name in self._random.sample(list(self._units), len(self._units)):
            runner = CountedWork(units=self._units[name], kind=self._kind)
            runner.prepare()
            for _ in range(_WARM_UP):
                runner.work()
            runners[name] = runner.work
        times: Times = {name: [] for name in runners}
        clock = time.perf_counter_ns
        for order in orders(tuple(runners), self._rounds, self._random):
            for name in order:
                work = runners[name]
                started = clock()
                work()
                times[name].append((clock() - started) / 1e6)
        return times

    def _judge(self, context: Context, times: Times) -> None:
        """Our verdicts of this trial, by the two stages, and what they cost."""
        self._counts["trials"] += 1
        same, same_cost = self._staged(times["A"], times[NULL])
        slower, _ = self._staged(times["A"], times["B"])
        self._counts["ours.false"] += same.verdict in _ALARMS
        self._counts["ours.found"] += slower.verdict == "slower"
        context.record("bench.detection.cost_unchanged", same_cost)
        self._rate(context, "false_alarms_in_process", "ours.false")
        self._rate(context, "found_5pct", "ours.found")

    def _staged(self, a: list[float], b: list[float]) -> tuple[Decision, float]:
        """The decision, and how many short stages it took."""
        short = self._decide(a[: self._short_rounds], b[: self._short_rounds])
        if not wants_more(short, self._design):
            return short, 1.0
        return self._decide(a, b), self._rounds / self._short_rounds

    def _decide(self, a: list[float], b: list[float]) -> Decision:
        return decide([log_ratios(a, b, self._design.chunk)], self._design, shared=True, draws=_DRAWS)

    def _judge_peers(self, context: Context, times: Times) -> None:
        """The others on these samples as they are, and on blocks timed one after the other, as they are mostly used."""
        if self._before is None:
            return
        self._counts["peer_trials"] += 1
        for arrangement, a in (("blocks", self._before["A"]), ("interleaved", times["A"])):
            for name, rule in PEERS.items():
                key = f"{name}_{arrangement}"
                self._counts[f"{key}.false"] += rule(a, times[NULL]) != 0
                self._counts[f"{key}.missed"] += rule(a, times["B"]) != 1
                for what in ("false", "missed"):
                    share = self._counts[f"{key}.{what}"] / self._counts["peer_trials"]
                    context.record(f"bench.detection.{key}_{what}", share)

    def _rate(self, context: Context, metric: str, count: str) -> None:
        hits, trials = self._counts[count], self._counts["trials"]
        context.record_interval(f"bench.detection.{metric}", hits / trials, *clopper_pearson(hits, trials))

    def _measure_pair(self) -> None:
        pair = self._pairs.run()
        for name, groups in self._groups.items():
            groups.append(log_ratios(pair.values["A"], pair.values[name], self._design.chunk))

    def _conclude(self, context: Context) -> None:
        """The rates over pairs of processes, drawn from those that were measured, and the worse of both rates."""
        same, more = (self._resampled(name, context.seed) for name in (NULL, "B"))
        alarms = sum(decision.verdict in _ALARMS for decision in same)
        found = sum(decision.verdict == "slower" for decision in more)
        second = sum(decision.pairs > self._design.pairs for decision in same) / self._resamples
        for name, hits in (("false_alarms_pairs", alarms), ("found_5pct_pairs", found)):
            low, high = clopper_pearson(hits, self._resamples)
            context.record_interval(f"bench.detection.{name}", hits / self._resamples, low, high)
        context.record("bench.detection.pairs", len(self._groups[NULL]))
        context.record("bench.detection.trials", self._counts["trials"])
        context.record("bench.detection.second_stage_pairs", second)
        context.record("bench.detection.between_pairs", _spread(self._groups[NULL]))
        in_process = (self._counts["ours.false"], self._counts["trials"])
        hits, trials = max(in_process, (alarms, self._resamples), key=lambda rate: rate[0] / rate[1])
        context.record_interval("bench.detection.false_alarms", hits / trials, *clopper_pearson(hits, trials))

    def _resampled(self, name: str, seed: int) -> list[Decision]:
        groups = self._groups[name]
        size = min(self._design.pairs + self._design.more_pairs, len(groups))
        return resampled(groups, self._design, size, trials=self._resamples, seed=seed, draws=_DRAWS)

    def teardown(self) -> None:
        """Ends the processes."""
        self._launcher.close()
        self._cancel.close()


def _spread(groups: list[list[float]]) -> float:
    """How much two processes of the same code differ: a robust standard deviation over the pairs."""
    centres = [median(group) for group in groups]
    centre = median(centres)
    return 1.4826 * median(abs(value - centre) for value in centres)
