"""The report of a comparison: the verdict first, then what it rests on and what no change looks like here."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.numbers import duration, number
from harness.report.tables import Style, render
from harness.results.listing import asked_for
from harness.results.times import said

_SAYS = {
    "slower": "B is slower than A",
    "faster": "B is faster than A",
    "same": "B is the same as A, within the tolerance",
    "undecided": "Cannot tell",
}
_STAGES = {
    "short_stage": "short stage",
    "decision": "all pairs",
    "confirmation": "confirming run",
    "null": "A against itself",
}
_HEADINGS = ("over", "pairs", "effect of B", "interval", "smallest visible", "says")


def ab_report(document: Mapping[str, Any], style: Style = "pipe") -> str:
    """The whole report, for the terminal (`simple`) or as Markdown (`pipe`)."""
    mark = "# " if style == "pipe" else ""
    noise = document["noise"]
    parts = [mark + (_noise_head(document) if document["kind"] == "noise" else _head(document)), _origin(document)]
    parts.append(_decisions(document, style))
    if noise is not None:
        parts.append(_noise(noise))
    if document["differences"]:
        rows = [[each["key"], str(each["a"]), str(each["b"])] for each in document["differences"]]
        parts.append(render(("differs in", "A", "B"), rows, style))
    parts.append(_times(document, style))
    parts.append("\n".join(f"- {message}" for message in document["messages"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def percent(share: float | None) -> str:
    """A share as a percentage with its sign; `-` where there is none."""
    return "-" if share is None else f"{100 * share:+.2f} %"


def effect(found: Mapping[str, Any]) -> str:
    """How much worse B is, with the interval of the decision."""
    return f"{percent(found['estimate'])} [{percent(found['low'])}, {percent(found['high'])}]"


def _head(document: Mapping[str, Any]) -> str:
    level, found = document["verdict"]["level"], document["decision"]
    return (
        f"{level}: {_SAYS[level]}: {effect(found)} of {document['metric']['name']}\n\n{document['verdict']['reason']}."
    )


def _noise_head(document: Mapping[str, Any]) -> str:
    return f"{document['scenario']} against itself: what no change looks like on this host"


def _origin(document: Mapping[str, Any]) -> str:
    design = document["design"]
    lines = [
        f"Comparison {document['ab_id']}, started {said(document['started_at'])} UTC, "
        f"took {duration(document['duration_s'])}, exit code {document['exit_code']}.",
        f"Tolerance {100 * design['tolerance']:g} %, intervals of {100 * design['level']:g} %, "
        f"{design['rounds_done']} rounds a pair of processes.",
    ]
    if document["kind"] == "ab":
        lines += [f"{name}: {asked_for(arm)}" for name, arm in document["arms"].items()]
    return "\n".join(lines)


def _decisions(document: Mapping[str, Any], style: Style) -> str:
    rows = []
    for key, name in _STAGES.items():
        found = document[key]
        if found is None or (key == "short_stage" and found["pairs"] == document["decision"]["pairs"]):
            continue
        interval = f"[{percent(found['low'])}, {percent(found['high'])}]"
        row = [name, number(found["pairs"]), percent(found["estimate"]), interval]
        rows.append([*row, percent(found["smallest_visible"]), found["verdict"]])
    return render(_HEADINGS, rows, style, right=_HEADINGS[1:5])


def _noise(noise: Mapping[str, Any]) -> str:
    alarms = f"{100 * noise['false_alarms']:.2f} % [{100 * noise['false_alarms_low']:.2f} %, "
    alarms += f"{100 * noise['false_alarms_high']:.2f} %]"
    return "\n".join(
        [
            f"Two processes of the same code differ by {100 * noise['between_pairs']:.2f} % (standard deviation over "
            f"{noise['pairs']} pairs); within a pair the standard error is {100 * noise['within_pair']:.2f} %.",
            f"False alarms: {alarms} of {noise['trials']} draws of {noise['drawn']} pairs "
            f"out of the {noise['pairs']} that were measured.",
        ]
    )


def _times(document: Mapping[str, Any], style: Style) -> str:
    """The fastest and the median of each arm, and what its times say about themselves."""
    rows = []
    for name, finding in document["findings"].items():
        values = sorted(value for pair in document["pairs"] for value in pair["values"][name])
        outliers: Mapping[str, int] = finding["outliers"]
        row = [name, number(len(values)), number(values[0]), number(_middle(values)), number(values[-1])]
        rows.append([*row, number(sum(outliers.values())), number(finding["drifts"])])
    unit = document["metric"]["unit"]
    headings = ("arm", "n", f"min {unit}", f"median {unit}", f"max {unit}", "outliers", "drifting")
    return render(headings, rows, style, right=headings[1:])


def _middle(ordered: Sequence[float]) -> float:
    return ordered[len(ordered) // 2]
