"""What to change after a run, for people: the recommendations with their evidence, and what was unusual."""

from collections.abc import Mapping
from typing import Any


def recommendation_lines(document: Mapping[str, Any]) -> list[str]:
    """A line for each recommendation, and one that says where throughput had no baseline; empty without rules."""
    node = document.get("recommendations")
    if node is None:
        return []
    lines = [
        f"{entry['severity']}: {entry['issue']} ({entry['evidence']}). {entry['action']}" for entry in node["found"]
    ]
    throughput = node["throughput"]
    if throughput is None:
        lines.append("throughput was not compared: no baseline, and no documented default for this scenario")
    elif "no baseline" in throughput["source"]:
        lines.append(f"throughput was compared with a {throughput['source']}")
    return lines


def recommendations_section(document: Mapping[str, Any]) -> str:
    """The sections of `report.md`: recommendations, then anomalies."""
    node = document.get("recommendations")
    if node is None:
        return ""
    parts = ["## Recommendations", _bullets(recommendation_lines(document)) or "None."]
    if node["undecided"]:
        named = ", ".join(f"{each['rule']} ({each['missing']} is not known)" for each in node["undecided"])
        parts.append(f"Not decided: {named}.")
    parts += ["## Anomalies", _bullets(document["anomalies"]) or "None."]
    return "\n\n".join(parts)


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)
