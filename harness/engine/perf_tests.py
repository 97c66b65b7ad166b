"""The performance smoke tests: a few scenarios in turn, each held against its baseline, ended at the first loss.

A throughput that is a quarter under its baseline is measured again before it is called a regression, and on a host that
other work kept busy it is none: a stored time says little of another hour (see harness/results/evidence.py).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from harness.config.spec import RunSpec
from harness.engine.run import Ended, Engine
from harness.errors import HarnessError
from harness.gates.pressure import PRESSURE_LIMIT_PERCENT, pressure_percent
from harness.results.perf_tests import Class, entry
from harness.track.facts import CANARY, Facts, facts_of
from harness.track.recommend import expectation


class PerfTests:
    """Runs the specs in turn; `tell` gets a line for each."""

    def __init__(
        self, engine: Engine, *, tolerance: float, limit_s: float, tell: Callable[[str], None], keep_going: bool
    ) -> None:
        self._engine, self._tolerance, self._tell, self._keep_going = engine, tolerance, tell, keep_going
        self._deadline = time.monotonic() + limit_s
        self._documents: list[dict[str, Any]] = []

    @property
    def documents(self) -> Sequence[dict[str, Any]]:
        """The newest result of each scenario that completed."""
        return self._documents

    def run(self, specs: Sequence[RunSpec]) -> list[dict[str, Any]]:
        """The entries of all scenarios; after the first regression or failure the others are skipped."""
        entries: list[dict[str, Any]] = []
        over: str | None = None
        for spec in specs:
            if over is None and time.monotonic() >= self._deadline:
                over = "the time of the tests was over"
            if over is not None:
                entries.append(entry(spec.scenario, "skipped", over))
                continue
            started = time.monotonic()
            found = self._one(spec)
            entries.append({**found, "duration_s": time.monotonic() - started})
            self._tell(f"[{len(entries)}/{len(specs)}] {spec.scenario}: {found['classification']}: {found['message']}")
            if found["classification"] in ("regression", "failed") and not self._keep_going:
                over = f"{spec.scenario} ended the tests: {found['classification']}"
            if self._engine.cancel.asked:
                over = "cancelled"
        return entries

    def _one(self, spec: RunSpec) -> dict[str, Any]:
        ended, facts = self._measured(spec)
        if ended.result is None or ended.status != "completed":
            return entry(spec.scenario, "failed", ended.message or ended.status, run_ids=_ids(ended))
        classification, message = self._judge(ended, facts)
        if classification != "regression":
            return self._entry(spec, classification, message, [ended], facts)
        self._tell(f"{spec.scenario}: {message}; measured again")
        again, facts_again = self._measured(spec)
        if again.result is None or again.status != "completed":
            return entry(spec.scenario, "failed", again.message or again.status, run_ids=_ids(ended, again))
        classification, message_again = self._judge(again, facts_again)
        if classification == "pass":
            message = f"{message} at first, and not when measured again: {message_again}"
            return self._entry(spec, "inconclusive", message, [ended, again], facts_again)
        return self._entry(spec, classification, f"{message_again}, twice", [ended, again], facts_again)

    def _measured(self, spec: RunSpec) -> tuple[Ended, Facts]:
        left_s = max(1.0, self._deadline - time.monotonic())
        bounded = replace(spec, measure=replace(spec.measure, timeout_s=min(spec.measure.timeout_s, left_s)))
        try:
            ended = self._engine.run(bounded)
        except HarnessError as error:
            return Ended(spec.scenario, "failed", error.exit_code, spec.overrides, message=error.message), {}
        if ended.result is None:
            return ended, {}
        if ended.status == "completed":
            self._documents.append(dict(ended.result))
        return ended, facts_of(ended.result, expectation(ended.result))

    def _judge(self, ended: Ended, facts: Facts) -> tuple[Class, str]:
        assert ended.result is not None
        per_s, below = facts.get("throughput.per_s"), facts.get("throughput.below")
        source = str(facts.get("throughput.source", "no baseline and no documented default"))
        if below is None or per_s is None:
            return "no_baseline", source
        said = (
            f"{per_s:.4g} iterations/s, {100 * float(below):.0f} % under {facts['throughput.expected']:.4g} ({source})"
        )
        if float(below) < self._tolerance:
            return ("pass" if source.startswith("baseline") else "no_baseline"), said
        if not source.startswith("baseline"):
            return "no_baseline", f"{said}: a documented default is of another host, and fails nothing"
        pressure = pressure_percent(ended.result)
        if pressure is not None and pressure > PRESSURE_LIMIT_PERCENT and CANARY not in ended.result["metrics"]:
            return "inconclusive", f"{said}, on a host with {pressure:.0f} % CPU pressure"
        return "regression", said

    def _entry(
        self, spec: RunSpec, classification: Class, message: str, runs: Sequence[Ended], facts: Facts
    ) -> dict[str, Any]:
        source = str(facts.get("throughput.source", ""))
        named = source.removeprefix("baseline ") if source.startswith("baseline ") else None
        return entry(spec.scenario, classification, message, run_ids=_ids(*runs), facts=facts, baseline=named)


def _ids(*runs: Ended) -> list[str]:
    return [run.run_id for run in runs if run.run_id is not None]
