"""The document of the performance smoke tests: which scenarios, how fast, against which baseline, and the whole."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from harness.results.times import now

SCHEMA = "harness.perf_test_results/1"
FILE = "perf_test_results.json"
Class = Literal["pass", "regression", "inconclusive", "no_baseline", "failed", "skipped"]
# From bad to good; the worst of the scenarios is that of the whole.
_ORDER: tuple[Class, ...] = ("failed", "regression", "skipped", "inconclusive", "no_baseline", "pass")
_CODES: Mapping[str, int] = {"failed": 3, "regression": 1, "skipped": 3}


def entry(
    scenario: str,
    classification: Class,
    message: str,
    *,
    run_ids: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    baseline: str | None = None,
    duration_s: float = 0.0,
) -> dict[str, Any]:
    """One scenario; `facts` are those of `harness.track.facts`."""
    known = facts or {}
    return {
        "scenario": scenario,
        "classification": classification,
        "message": message,
        "run_ids": list(run_ids),
        "throughput_per_s": known.get("throughput.per_s"),
        "expected_per_s": known.get("throughput.expected"),
        "below_percent": known.get("throughput.below_percent"),
        "compared_with": known.get("throughput.source"),
        "baseline": baseline,
        "duration_s": duration_s,
    }


def results(
    entries: Sequence[Mapping[str, Any]], *, suite: str, host: str, tolerance: float, limit_s: float, duration_s: float
) -> dict[str, Any]:
    """The document over all scenarios, with its level and exit code."""
    classes = [each["classification"] for each in entries]
    level = next((name for name in _ORDER if name in classes), "pass")
    return {
        "schema": SCHEMA,
        "created_at": now(),
        "host": host,
        "suite": suite,
        "tolerance": tolerance,
        "limit_s": limit_s,
        "duration_s": duration_s,
        "level": level,
        "exit_code": _CODES.get(level, 0),
        "scenarios": [dict(each) for each in entries],
    }
