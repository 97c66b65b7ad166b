"""`report.md`: everything about one run that a person wants to read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.report.numbers import duration, number
from harness.report.recommendations import recommendations_section
from harness.report.tables import metrics_table, render, rules_table
from harness.results.times import said

_MOST_ERRORS = 5


def run_report(document: Mapping[str, Any]) -> str:
    """The report of a result document, which is already redacted."""
    sections = [_head(document), _metrics(document), _verdict(document["verdict"]), _events(document["events"])]
    sections += [
        recommendations_section(document),
        _warnings(document["warnings"]),
        _errors(document["errors"]),
        _telemetry(document["telemetry"]),
    ]
    sections += [_environment(document["environment"]), _origin(document)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(document: Mapping[str, Any]) -> str:
    iterations, reason = document["iterations"], document["reason"]
    model = f", model {document['model']}" if document["model"] else ""
    lines = [
        f"# {document['scenario']} on {document['device']}: {document['verdict']['level']}",
        "",
        f"Run `{document['run_id']}`{model}. Status {document['status']}, exit code {document['exit_code']}.",
        f"Started {said(document['started_at'])} UTC, took {duration(document['duration_s'])}.",
        f"{iterations['completed']} of {iterations['planned']} iterations after {iterations['warmup']} to warm up, "
        f"{iterations['failed']} failed.",
    ]
    if reason is not None:
        lines.append(f"Reason: {reason['kind']}: {_one_line(reason['message'])}")
    if document.get("resumed"):
        lines.append(said_resumed(document))
    if document["contended"]:
        lines.append("Contended: other runs were measured on this host at the same time.")
    return "\n".join(lines)


def said_resumed(document: Mapping[str, Any]) -> str:
    """Where a run went on from and what it took over, in a sentence."""
    resumed = document["resumed"]
    reused = document["metrics"].get("pipeline.steps_reused")
    kept = [_counted(resumed["kept_iterations"], "iteration")]
    kept += [_counted(int(reused["statistics"]["max"]), "step")] if reused else []
    changed = f"; since then {'; '.join(resumed['changes'])}" if resumed["changes"] else ""
    return f"Resumed from {resumed['from']}, which had finished {' and '.join(kept)}{changed}."


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _metrics(document: Mapping[str, Any]) -> str:
    return "## Metrics\n\n" + (metrics_table(document, "pipe") if document["metrics"] else "Nothing was measured.")


def _verdict(verdict: Mapping[str, Any]) -> str:
    parts = [f"## Verdict: {verdict['level']}{' (strict)' if verdict['strict'] else ''}"]
    if verdict["rules"]:
        parts.append(rules_table(verdict, "pipe"))
    said_rules = [f"{rule['level']}: {rule['message']}" for rule in verdict["rules"] if rule["level"] != "pass"]
    return "\n\n".join([*parts, *_list([*said_rules, *verdict["messages"]])])


def _events(events: Mapping[str, int]) -> str:
    if not events:
        return ""
    rows = [[name, str(count)] for name, count in events.items()]
    return "## Events\n\n" + render(("event", "count"), rows, "pipe", right=("count",))


def _warnings(warnings: Sequence[str]) -> str:
    return "\n\n".join(["## Warnings", *_list(warnings)]) if warnings else ""


def _errors(errors: Sequence[Mapping[str, Any]]) -> str:
    if not errors:
        return ""
    parts = [f"## Errors ({len(errors)})"]
    for error in errors[:_MOST_ERRORS]:
        where = "" if error["iteration"] is None else f" {error['iteration']}"
        parts.append(f"**{error['phase']}{where}: {error['type']}: {_one_line(error['message'])}**")
        parts.append(_fenced(error["traceback"]))
    return "\n\n".join(parts)


def _telemetry(telemetry: Mapping[str, Any]) -> str:
    sensors = telemetry.get("sensors") or {}
    rows = []
    for name, found in sensors.items():
        value, unit = found.get("value"), str(found.get("unit", ""))
        shown = str(found.get("reason", "unavailable")) if value is None else number(value)
        rows.append(
            [name, shown, unit if value is not None else "", number(found.get("min")), number(found.get("max"))]
        )
    return "## Telemetry\n\n" + render(("sensor", "value", "unit", "min", "max"), rows, "pipe") if rows else ""


def _environment(environment: Mapping[str, Any]) -> str:
    rows = [[name, value] for name, value in _flat(environment, "")] if environment else []
    return "## Environment\n\n" + render(("fact", "value"), rows, "pipe") if rows else ""


def _origin(document: Mapping[str, Any]) -> str:
    words = " ".join(document["overrides"]) or "none"
    digests = [f"{name} `{value}`" for name, value in document["digests"].items() if value is not None]
    lines = _list([f"overrides: {words}", f"tags: {' '.join(document['tags']) or 'none'}", *digests])
    return "\n\n".join(["## Configuration", *lines, _fenced(json.dumps(document["config"], indent=2), "json")])


def _flat(node: Any, name: str) -> Iterator[tuple[str, str]]:
    """The leaves of nested facts with their dotted names."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, _one_line(node if isinstance(node, str) else json.dumps(node))


def _list(lines: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {_one_line(line)}" for line in lines)] if lines else []


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any inside the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
