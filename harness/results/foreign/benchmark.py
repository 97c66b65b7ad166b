"""One benchmark of another tool, in the terms of this harness, and the documents of a run that are made from it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from harness.errors import RefusedError
from harness.measure.catalogue import Metric
from harness.measure.samples import Series
from harness.results import document, manifest, schema
from harness.results.canonical import digest
from harness.results.names import safe
from harness.results.times import FORMAT, epoch

DURATION = document.DURATION  # the time of one iteration, so that a command timed elsewhere compares with our own
_LONGEST = 80  # characters of a scenario: a whole command is no name for a folder


class Benchmark(NamedTuple):
    """What a tool measured under one name: samples by metric, and where and when as far as the tool tells.

    The first metric stands for the run in lists.
    """

    name: str
    started_at: float  # seconds since 1970
    duration_s: float
    metrics: Mapping[str, tuple[Metric, Sequence[float]]]
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    model: str | None = None
    failed: int = 0  # iterations that ended in an error
    warnings: Sequence[str] = ()


def time_metric(name: str, meaning: str) -> Metric:
    """A time in ms, of which less is better."""
    return Metric(name, "ms", "histogram", "lower", meaning)


def needs(found: Any, key: str, kind: type, place: str) -> Any:
    """The value of a key, which must be of this kind.

    Raises:
        RefusedError: it is missing or something else.
    """
    value = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RefusedError(
            f"{place}: {key!r} should be a {kind.__name__}, found {type(value).__name__}",
            "The file is damaged, or of another version of its tool",
        )
    return value


def numbers(values: Any, place: str) -> list[float]:
    """A list of numbers.

    Raises:
        RefusedError: something in it is no number.
    """
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise RefusedError(f"{place} should be a list of numbers", "The file is damaged, or of another version")
    return [float(value) for value in values]


def environment(host: str | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the tool tells of the machine; its fingerprint agrees with no machine that this harness has seen itself."""
    known = {key: value for key, value in facts.items() if value is not None}
    return {
        "hostname": host,
        **known,
        "fingerprint": digest(["imported", host, known.get("cpu"), known.get("machine")])[:16] if host else None,
    }


def when(text: Any) -> float | None:
    """Seconds since 1970 of a time in ISO 8601, None where there is none that can be read."""
    try:
        return epoch(text) if isinstance(text, str) else None
    except ValueError:
        return None


def run_of(found: Benchmark, tool: str, source: str, source_digest: str, at: str) -> tuple[dict[str, Any], Any]:
    """The manifest and the result of a benchmark; the same file gives the same run id again.

    Raises:
        RefusedError: the benchmark has no samples.
    """
    series = {name: values for name, (_, values) in found.metrics.items() if values}
    if not series:
        raise RefusedError(f"{source}: {found.name} has no samples", "Leave it out of the file")
    scenario = safe(found.name)[:_LONGEST]
    started = _stamp(found.started_at)
    run_id = f"{started[:19].replace('-', '').replace(':', '')}Z-{scenario}-{digest([source_digest, found.name])[:6]}"
    n = max(map(len, series.values()))
    result = document.build_result(
        {
            **{"run_id": run_id, "trace_id": source_digest[:32], "scenario": scenario, "device": "unknown"},
            **{"model": found.model, "status": "completed", "reason": None},
            "started_at": started,
            "finished_at": _stamp(found.started_at + found.duration_s),
            "duration_s": found.duration_s,
            "config": {"imported_from": tool, **found.config},
            "choices": {"scenario": scenario},
            "tags": [tool],
        },
        iterations={"warmup": 0, "planned": n, "completed": n, "failed": min(found.failed, n)},
        series={name: _series(values) for name, values in series.items()},
        catalogue={name: metric for name, (metric, _) in found.metrics.items()},
        environment=found.environment,
        warnings=found.warnings,
    )
    origin = {"kind": tool, "source": source, "imported_at": at, "digest": source_digest}
    known = _manifest(result, found.environment.get("hostname"), origin)
    return {**known, "headline": manifest.headline(result, next(iter(series)))}, result


def _manifest(result: Mapping[str, Any], host: Any, origin: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with what the first version knew, brought up to date, and the origin."""
    blank = {
        **{"schema": "harness.manifest/1", "created_at": result["started_at"], "recovered_at": None, "identity": None},
        **{"user": None, "host": host or "unknown", "command": [], "overrides": [], "tags": result["tags"]},
        **{"resumed_from": None, "artifacts": []},
    }
    same = {key: result[key] for key in ("run_id", "trace_id", "scenario")}
    known = schema.upgraded({**blank, **same}, "manifest", result["run_id"])
    return manifest.finished({**known, "origin": dict(origin)}, result)


def _series(values: Sequence[float]) -> Series:
    none: list[float | None] = [None] * len(values)
    return Series(list(values), none, list(none), list(range(len(values))))


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(FORMAT)
