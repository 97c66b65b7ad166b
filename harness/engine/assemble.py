"""From what was measured to the judged result document."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from harness.config.spec import RunSpec
from harness.engine.events import EventStream
from harness.engine.loop import DURATION
from harness.engine.told import Told
from harness.errors import StoreLost
from harness.gates.thresholds import load_rules
from harness.gates.verdict import exit_code, judge
from harness.measure.catalogue import load_catalogue
from harness.measure.samples import Measured, read_measured
from harness.results.document import build_result, conclude
from harness.results.schema import validate
from harness.track.recommend import expectation, recommend
from harness.track.recommend import load_rules as recommendation_rules


def assemble(
    facts: Mapping[str, Any],
    spec: RunSpec,
    samples: Path,
    stream: EventStream,
    told: Told,
    telemetry: Mapping[str, Any],
    environment: Mapping[str, Any],
    redact: Callable[[Any], Any],
) -> dict[str, Any]:
    """The result document with statistics, verdict, exit code and digests, held against its schema.

    Raises:
        StoreLost: the samples cannot be read, or the document does not fit its schema (a defect of the harness).
    """
    measured = read_measured(samples)
    outcome = facts["outcome"]
    torch = outcome.get("torch")
    document = build_result(
        {**facts, "config": spec.stored_config},
        iterations=_iterations(measured, spec, outcome),
        series=measured.series,
        catalogue=load_catalogue(spec.config["metrics"]),
        events=stream.counts,
        instrument=told.instrument,
        error_share_limit=spec.measure.error_share_limit,
        errors=redact(_errors(measured, outcome)),
        telemetry=telemetry,
        environment={**told.facts, **environment, **({"torch": torch} if torch else {})},
        process=facts["process"],
        samples_digest=sha256(samples.read_bytes()).hexdigest(),
        outcome=outcome.get("outcome_digest"),
        warnings=_warnings(facts),
    )
    document |= recommend(document, recommendation_rules(own=spec.config.get("recommend")), expectation(document))
    verdict = judge(document, load_rules(spec.config.get("threshold")), strict=spec.strict)
    code = exit_code(document["status"], verdict["level"], strict=spec.strict)
    document = conclude(document, verdict, code)
    problems = validate(document, "result")
    if problems:
        listed = "; ".join(map(str, problems[:5]))
        raise StoreLost(f"the result does not fit its schema: {listed}", "this is a defect of the harness: report it")
    return document


def _iterations(measured: Measured, spec: RunSpec, outcome: Mapping[str, Any]) -> dict[str, int]:
    good = len(measured.series[DURATION].values) if DURATION in measured.series else 0
    return {
        "warmup": outcome.get("warmup", 0),
        "planned": spec.measure.iterations,
        "completed": good + len(measured.failed),
        "failed": len(measured.failed),
    }


def _errors(measured: Measured, outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    errors = list(outcome.get("errors", ()))
    if outcome.get("error") and outcome["error"] not in errors:
        errors.append(outcome["error"])
    for sample in measured.not_finite[:20]:
        message = f"{sample.metric} is {sample.value}, which is no measurement"
        found = {"phase": "measure", "iteration": sample.iteration, "type": "NotFinite", "message": message}
        errors.append({**found, "traceback": ""})
    return errors


def _warnings(facts: Mapping[str, Any]) -> list[str]:
    left = facts["process"]["leftover_processes"]
    return [f"the measured work left {left} processes behind; they were ended"] if left else []
