"""Suites and comparisons as rows of a list: what came of each in a few facts, also where its document is damaged."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import StoreLost
from harness.gates.levels import worst
from harness.results import records, schema
from harness.results.names import named_at
from harness.results.records import COMPARISON, SUITE, Kind, Named
from harness.results.times import epoch

UNREADABLE = "unreadable"
OPEN = "unfinished"  # of a comparison that tells nothing yet, or never will
_SUITE: dict[str, Any] = dict.fromkeys(("name", "status", "jobs", "done", "failed", "verdict", "duration_s"))
_COMPARISON: dict[str, Any] = dict.fromkeys(
    ("kind", "scenario", "status", "a", "b", "metric", "answer", "estimate", "low", "high", "duration_s")
)


def rows(
    outputs: Path, kind: Kind, *, last: int | None = None, since: float | None = None, until: float | None = None
) -> list[dict[str, Any]]:
    """The newest suites or comparisons that were begun within these times (seconds since 1970), oldest first."""
    found = [each for each in records.ids(outputs, kind) if _is_within(each, since, until)]
    return [_row(outputs, Named(kind, each)) for each in found[-last if last else 0 :]]


def asked_for(arm: Mapping[str, Any]) -> str:
    """One side of a comparison as a person asked for it, with its checkout where it has one of its own."""
    commit = arm["git"].get("commit")
    place = f" in {arm['checkout']}" if arm["checkout"] else ""
    return f"{arm['said'] or 'as configured'}{place}" + (f" at {commit[:12]}" if commit and place else "")


def _is_within(record_id: str, since: float | None, until: float | None) -> bool:
    if since is None and until is None:
        return True
    stamp = named_at(record_id)
    return stamp is not None and (since is None or epoch(stamp) >= since) and (until is None or epoch(stamp) < until)


def _row(outputs: Path, named: Named) -> dict[str, Any]:
    """What is known of one; `error` says why that is little."""
    kind, record_id = named
    empty, facts_of = _FACTS[kind]
    row = {kind.key: record_id, "created_at": named_at(record_id), **empty, "error": None}
    if records.is_open(outputs, named):
        return row | {"status": OPEN, "error": "no report yet: it still runs, or was cut short"}
    try:
        # Without its digest, which would take longer than the whole list.
        return row | facts_of(schema.read(records.folder_of(outputs, *named) / kind.file, kind.schema))
    except StoreLost as error:
        return row | {"status": UNREADABLE, "error": error.message}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return row | {"status": UNREADABLE, "error": f"{kind.file} is not as it should be: {error!r}"}


def _suite(document: Mapping[str, Any]) -> dict[str, Any]:
    from harness.results.suite import state  # late: `results --ab` does without

    jobs = document["jobs"]
    levels = [job["verdict"] for job in jobs if job["verdict"] is not None]
    return {
        "name": document["name"],
        "status": state(document),
        "jobs": len(jobs),
        "done": sum(job["status"] == "completed" for job in jobs),
        "failed": sum(job["status"] in ("failed", "crashed") for job in jobs),
        "verdict": worst(levels) if levels else None,
        "duration_s": sum(job["duration_s"] or 0.0 for job in jobs),
    }


def _comparison(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: document[key] for key in ("kind", "scenario", "status", "duration_s")},
        "a": asked_for(document["arms"]["A"]),
        "b": asked_for(document["arms"]["B"]),
        "metric": document["metric"]["name"],
        "answer": document["verdict"]["level"],
        **{key: document["decision"][key] for key in ("estimate", "low", "high")},
    }


_FACTS: dict[Kind, tuple[dict[str, Any], Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    SUITE: (_SUITE, _suite),
    COMPARISON: (_COMPARISON, _comparison),
}
