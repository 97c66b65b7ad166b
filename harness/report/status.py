"""Where a run is, for people: its steps, how far it is, what troubles it."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.columns import columns
from harness.report.numbers import duration, number
from harness.results.times import said
from harness.track.lines import line, span
from harness.track.live import Look, age_s, last_completed, status_document
from harness.track.progress import TITLES

_HEADINGS = ("step", "status", "time", "files")
_SENSORS = {
    "tree.cpu_percent": "CPU {} % of one core",
    "tree.rss_mb": "memory {} MiB",
    "host.pressure_cpu_percent": "some task waited for a CPU in {} % of the time",
    "gpu.utilization_percent": "GPU {} %",
}


def status_text(look: Look, now: float) -> str:
    """The whole status; `now` in seconds since 1970."""
    document = status_document(look)
    lines = [_head(look, document, now)]
    if look.progress is not None:
        lines.append(line(look.progress))
    lines += [said_sensors(document)] if document["sensors"] else []
    steps = document["steps"]
    if steps:
        lines += ["", columns(_HEADINGS, [_row(step) for step in steps])]
    lines += _estimates(document["eta"])
    if document["status"] not in ("completed", "running"):
        lines.append(f"last completed step: {last_completed(steps) or 'none'}")
    lines += [f"{said(event['time'])} UTC {event['level']}: {event['event']}{_why(event)}" for event in look.troubles]
    if look.broken_lines:
        lines.append(f"{look.broken_lines} lines of events.jsonl cannot be read")
    return "\n".join(lines)


def said_sensors(document: Mapping[str, Any]) -> str:
    """The last known rate and sensors in one line."""
    rate = document["rate_per_s"]
    parts = [] if rate is None else [f"{number(rate)} iterations/s"]
    parts += [
        text.format(number(document["sensors"][name])) for name, text in _SENSORS.items() if name in document["sensors"]
    ]
    return ", ".join(parts)


def _head(look: Look, document: Mapping[str, Any], now: float) -> str:
    status = document["status"]
    where = f"{document['run_id']}: {document['scenario']} on {document['device']}, {document['host']}"
    if not look.ended:
        return f"{where}: {status} for {span(age_s(look.manifest, now))}, process {document['pid'] or 'unknown'}"
    verdict = f", verdict {document['verdict']}" if document["verdict"] else ""
    reason = document["reason"]
    why = "" if reason is None else f"\nreason: {reason['kind']}: {reason['message']}"
    took = "" if document["duration_s"] is None else f" after {duration(document['duration_s'])}"
    return f"{where}: {status}{took}{verdict}{why}"


def _row(step: Mapping[str, Any]) -> list[str]:
    name = TITLES.get(step["name"], step["name"]) if step["kind"] == "phase" else step["name"]
    turn = f" ({step['turn']})" if step["turn"] > 1 else ""
    return [name + turn, step["status"], duration(step["duration_s"]), " ".join(step["artifacts"]) or "-"]


def _estimates(eta: Mapping[str, Any] | None) -> Sequence[str]:
    """How good the estimate after the second step was."""
    if eta is None or eta["error"] is None:
        return []
    return [f"ETA after the second step: {100 * eta['error']:+.0f} % off, learned from {eta['runs']} runs"]


def _why(event: Mapping[str, Any]) -> str:
    found = event.get("message") or event.get("reason") or event.get("error")
    return f": {found}" if found else ""
