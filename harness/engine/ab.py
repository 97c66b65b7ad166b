"""A comparison of two configurations, commands or checkouts, from fresh pairs of processes to the kept document."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from harness.config.redact import redact
from harness.engine import device
from harness.engine.ab_document import Kind, Measured, Side, Stage, build, percent
from harness.engine.arms import write_to
from harness.engine.lock import host_lock
from harness.engine.pairs import NULL, ArmSpec, Pair, PairRunner
from harness.engine.signals import CancelRequest
from harness.errors import Cancelled, ConfigError, Problem, StorageRefused, StoreLost
from harness.gates.decide.decision import decide, wants_more
from harness.gates.decide.design import Design
from harness.measure import environment
from harness.measure.catalogue import Metric, load_catalogue
from harness.process.launcher import Launcher
from harness.results.canonical import pretty
from harness.results.disk import Disk
from harness.results.names import new_run_id
from harness.results.schema import validate
from harness.results.times import now


@dataclass
class Comparison:
    """One comparison while it lasts; `metric` is the name of what is compared, `say` takes a line for each pair."""

    launcher: Launcher
    cancel: CancelRequest
    outputs: Path
    a: Side
    b: Side
    design: Design
    metric: str
    render: Callable[[Mapping[str, Any]], str]
    kind: Kind = "ab"
    command: Sequence[str] = ()
    seed: int = 0
    say: Callable[[str], None] = lambda line: None
    disk: Disk = field(default_factory=Disk)

    def run(self) -> tuple[dict[str, Any], Path]:
        """Measures, decides and stores; the document and its folder.

        Raises:
            RefusedError: nothing was measured, and why.
            BenchmarkFailed: the work of an arm failed.
            Cancelled: before the first pair was complete.
            StoreLost: what was measured could not be kept.
        """
        metric = self._metric()
        measured = Measured(
            new_run_id(f"{self.kind}-{self.a.spec.scenario}"), self.kind, self.a, self.b, self.design, metric, self.seed
        )
        folder = self.outputs / "ab" / measured.ab_id
        started = time.monotonic()
        with self._locked() as name_holder:
            name_holder(measured.ab_id)
            try:
                folder.mkdir(parents=True)
            except OSError as error:
                raise StorageRefused(
                    f"{folder} cannot be written: {error.strerror}", "set HARNESS_OUTPUTS to another folder"
                ) from error
            measured.started_at, before = now(), environment.quietness()
            self._measure(self._runner(folder, metric), measured)
            measured.quietness = {"before": before, "after": environment.quietness(before)}
        measured.duration_s = time.monotonic() - started
        document = build(measured, self.command)
        self._keep(folder, document)
        return document, folder

    @contextmanager
    def _locked(self) -> Iterator[Callable[[str], None]]:
        lock = self.a.spec.lock
        if lock.mode == "shared":
            yield lambda run_id: None
            return
        with host_lock(wait_s=lock.wait_s, cancelled=lambda: self.cancel.asked) as name_holder:
            yield name_holder

    def _metric(self) -> Metric:
        catalogue = load_catalogue({**self.a.spec.metrics, **self.b.spec.metrics})
        found = catalogue.get(self.metric)
        if found is None:
            from difflib import get_close_matches

            near = get_close_matches(self.metric, catalogue, 1)
            hint = f"did you mean {near[0]!r}?" if near else "declare it under `metrics:`"
            raise ConfigError([Problem("--metric", f"no metric is called {self.metric!r}", hint)])
        if found.better == "none":
            raise ConfigError([Problem("--metric", f"{self.metric} is neither better when lower nor when higher")])
        return found

    def _runner(self, folder: Path, metric: Metric) -> PairRunner:
        arms = {"A": _arm(self.a), "B": _arm(self.b)}
        if self.design.null and self.kind == "ab":
            arms[NULL] = arms["A"]
        secrets = self.a.spec.secrets | self.b.spec.secrets
        return PairRunner(
            self.launcher,
            self.cancel,
            folder / "arms",
            arms,
            metric.name,
            self.design,
            Random(self.seed),
            write_to(folder, partial(redact, secrets=secrets)),
            metric.better == "higher",
        )

    def _measure(self, runner: PairRunner, measured: Measured) -> None:
        """The stages one after the other; a cancel keeps the pairs that are complete."""
        design = self.design
        try:
            self._stage("short", design.pairs, runner, measured)
            if self.kind == "noise":
                return
            decision = decide(measured.ratios("short"), design)
            if design.more_pairs and wants_more(decision, design):
                self._stage("more", design.more_pairs, runner, measured)
                decision = decide(measured.ratios("short", "more"), design)
            if design.confirm and decision.verdict == "slower":
                self._stage("confirm", design.pairs, runner, measured)
        except Cancelled:
            if not measured.pairs["short"]:
                raise
            measured.cancelled = True

    def _stage(self, stage: Stage, count: int, runner: PairRunner, measured: Measured) -> None:
        for number in range(1, count + 1):
            pair = runner.run()
            measured.rounds = runner.rounds
            measured.pairs[stage].append(pair)
            self.say(f"{stage} stage, pair {number} of {count}, {runner.rounds} rounds: {self._said(pair, measured)}")

    def _said(self, pair: Pair, measured: Measured) -> str:
        said = f"B {percent(measured.effect(pair))}"
        return f"{said}, A against itself {percent(measured.effect(pair, NULL))}" if NULL in pair.values else said

    def _keep(self, folder: Path, document: dict[str, Any]) -> None:
        problems = validate(document, "ab")
        if problems:
            listed = "; ".join(map(str, problems[:5]))
            raise StoreLost(
                f"the report does not fit its schema: {listed}", "this is a defect of the harness: report it"
            )
        try:
            self.disk.write(folder / "report.md", self.render(document).encode("utf-8", "replace"), durable=False)
            self.disk.write(folder / "ab.json", pretty(document))
        except OSError as error:
            raise StoreLost(f"the report cannot be kept in {folder}: {error.strerror or error}") from error


def _arm(side: Side) -> ArmSpec:
    spec = side.spec
    return ArmSpec(
        spec.config,
        device.resolve(spec.device),
        spec.worker.start,
        spec.worker.preload,
        side.path,
        side.checkout,
        spec.measure.timeout_s,
    )
