"""A comparison for people: as text for the terminal, as Markdown for a pull request, as CSV for a spreadsheet."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.report.columns import columns, pipes
from harness.report.numbers import number
from harness.results.times import said

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]

_HEADINGS = ("metric", "unit", "base", "candidate", "change", "%", "99 % interval", "noise", "says")
_MOST_DIFFERENCES = 12
CSV_COLUMNS = (
    "base",
    "candidate",
    "metric",
    "unit",
    "better",
    "stat",
    "base_value",
    "candidate_value",
    "delta",
    "delta_percent",
    "effect_percent",
    "low_percent",
    "high_percent",
    "basis",
    "noise_floor_percent",
    "class",
    "severity",
    "reason",
)


def as_text(document: Mapping[str, Any]) -> str:
    """The comparison for a terminal."""
    return "\n\n".join(_sections(document, columns, ""))


def as_markdown(document: Mapping[str, Any]) -> str:
    """The comparison as Markdown."""
    title = f"# Comparison: {document['verdict']['level']}"
    return "\n\n".join([title, *_sections(document, pipes, "## ")]) + "\n"


def as_csv(document: Mapping[str, Any]) -> str:
    """A row a metric and candidate, in the same columns whatever was compared; empty where there is no value."""
    import csv  # late: the other forms do without
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for pair in document["comparisons"]:
        for row in pair["metrics"]:
            effect, floor = row["effect"] or {}, row["noise_floor"] or {}
            writer.writerow(
                {
                    **{key: row[key] for key in ("metric", "unit", "better", "delta", "delta_percent", "class")},
                    **{key: row[key] for key in ("severity", "reason")},
                    "base": document["arms"][0]["name"],
                    "candidate": pair["candidate"],
                    "stat": document["stat"],
                    "base_value": (row["base"] or {}).get("value"),
                    "candidate_value": (row["candidate"] or {}).get("value"),
                    "effect_percent": effect.get("percent"),
                    "low_percent": effect.get("low_percent"),
                    "high_percent": effect.get("high_percent"),
                    "basis": effect.get("basis"),
                    "noise_floor_percent": floor.get("percent"),
                }
            )
    return text.getvalue()


def _sections(document: Mapping[str, Any], table: Table, heading: str) -> list[str]:
    found = [_arms(document, table)]
    for pair in document["comparisons"]:
        found += _pair(pair, document, table, heading)
    found += [_ranking(ranking, heading) for ranking in document["rankings"]]
    return [*found, _verdict(document["verdict"], heading)]


def _arms(document: Mapping[str, Any], table: Table) -> str:
    rows = []
    for arm in document["arms"]:
        runs = f"{len(arm['runs'])} run{'s' if len(arm['runs']) > 1 else ''}"
        when = said(arm["from"]) if arm["from"] == arm["to"] else f"{said(arm['from'])} to {said(arm['to'])}"
        where = (arm["scenario"], arm["device"], arm["model"] or "-", arm["host"] or "-")
        rows.append([arm["role"], arm["name"], runs, *where, when])
    return table(("", "what", "runs", "scenario", "device", "model", "host", "measured (UTC)"), rows)


def _pair(pair: Mapping[str, Any], document: Mapping[str, Any], table: Table, heading: str) -> list[str]:
    lines = [f"{heading}{pair['candidate']} against {document['arms'][0]['name']}, {document['stat']} of each metric"]
    lines += [f"not judged: {reason}" for reason in pair["obstacles"]]
    lines += [f"note: {note}" for note in pair["notes"]]
    lines += _differences(pair["differences"])
    found = ["\n".join(f"- {line}" if heading and i else line for i, line in enumerate(lines))]
    if pair["metrics"]:
        found.append(table(_HEADINGS, [_row(row) for row in pair["metrics"]]))
    else:
        found.append("no metric is left to show")
    reasons = list(dict.fromkeys(row["reason"] for row in pair["metrics"] if row["reason"]))
    reasons = [reason for reason in reasons if reason not in pair["obstacles"]]
    if reasons:
        found.append("\n".join(f"{'- ' if heading else ''}inconclusive: {reason}" for reason in reasons))
    return found


def _differences(found: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for each in found[:_MOST_DIFFERENCES]:
        word = "factor" if each["declared"] else "differs too"
        lines.append(f"{word}: {each['key']}: {_short(each['base'])} -> {_short(each['candidate'])}")
    if len(found) > _MOST_DIFFERENCES:
        lines.append(f"and {len(found) - _MOST_DIFFERENCES} more differences, all of them with --json")
    return lines


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:40]}…{text[-16:]}"


def _row(row: Mapping[str, Any]) -> list[str]:
    effect = row["effect"] or {}
    values = [number((row[side] or {}).get("value")) for side in ("base", "candidate")]
    return [
        row["metric"],
        row["unit"],
        *values,
        _signed(row["delta"]),
        _percent(row["delta_percent"]),
        _interval(effect),
        _floor(row["noise_floor"]),
        _says(row),
    ]


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{'+' if value > 0 else ''}{number(value)}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f}"


def _interval(effect: Mapping[str, Any]) -> str:
    """In percent; what was divided by a canary may differ from the plain change beside it, so it is marked."""
    low, high = effect.get("low_percent"), effect.get("high_percent")
    if low is None or high is None or effect["basis"] in ("exact", "none"):
        return "-"
    return f"[{low:+.1f}, {high:+.1f}]{' c' if effect['normalised'] else ''}"


def _floor(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    return f"{found['percent']:.1f} (n={found['runs']})" if found["runs"] > 1 else f"> {found['percent']:.1f}"


def _says(row: Mapping[str, Any]) -> str:
    if row["severity"] is None:
        return str(row["class"]).upper() if row["class"] in ("new", "gone", "n/a") else str(row["class"])
    return f"{row['class']} ({row['severity']}{'' if row['class'] == 'worse' else ' if real'})"


def _ranking(ranking: Mapping[str, Any], heading: str) -> str:
    lines = [f"{heading}ranking by {ranking['metric']} {ranking['stat']}, {ranking['better']} is better"]
    for place in ranking["places"]:
        arms = [f"{arm['name']} ({number(arm['value'])} {ranking['unit']})" for arm in place["arms"]]
        lines.append(f"{'- ' if heading else ''}{place['place']}. {' = '.join(arms)}")
    tie = ranking["tie"]
    first = f"winner: {ranking['winner']}" if ranking["winner"] else f"no winner: the first place is a tie: {tie}"
    return "\n".join([*lines, f"{'- ' if heading else ''}{first}"])


def _verdict(verdict: Mapping[str, Any], heading: str) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in verdict["counts"].items()) or "nothing to compare"
    return f"{heading}verdict: {verdict['level']} ({counts}), exit code {verdict['exit_code']}"
