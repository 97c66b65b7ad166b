"""What to change after a run, for people: the recommendations with their evidence, and what was unusual."""

from collections.abc import Mapping
from typing import Any


def advice_lines(document: Mapping[str, Any]) -> list[str]:
    """A line for each recommendation, and one that says where throughput had no baseline; empty without rules."""
    node = document.get("recommendations")
    if node is None:
        return []
    lines = [f"advice: {_said(entry)}" for entry in node["found"]]
    throughput = _throughput(node["throughput"])
    return [*lines, *([throughput] if throughput else [])]


def recommendations_section(document: Mapping[str, Any]) -> str:
    """The sections of `report.md`: recommendations, then anomalies."""
    node = document.get("recommendations")
    if node is None:
        return ""
    parts = ["## Recommendations", _bullets([_said(entry) for entry in node["found"]]) or "None."]
    if throughput := _throughput(node["throughput"]):
        parts.append(f"{throughput.capitalize()}.")
    if node["undecided"]:
        named = ", ".join(f"{each['rule']} ({each['missing']} is not known)" for each in node["undecided"])
        parts.append(f"Not decided: {named}.")
    parts += ["## Anomalies", _bullets(document["anomalies"]) or "None."]
    return "\n\n".join(parts)


def _said(entry: Mapping[str, Any]) -> str:
    return f"{entry['severity']}: {entry['issue']} ({entry['evidence']}). {entry['action']}"


def _throughput(compared: Mapping[str, Any] | None) -> str:
    """What the throughput was not, or only roughly, compared with; empty where it was with a baseline."""
    if compared is None:
        return "throughput: not compared, as there is no baseline and no documented default"
    if compared["source"].startswith("baseline"):
        return ""
    return f"throughput: compared with {compared['per_s']:.4g} iterations/s ({compared['source']})"


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)
