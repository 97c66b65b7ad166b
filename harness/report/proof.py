"""The table of a proof: for every goal what was measured, its confidence interval, n, and whether it was reached."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.numbers import number
from harness.report.tables import Style, render

_HEADINGS = ("goal of", "stat", "goal", "measured", "95 % CI", "n", "says")
_OPPOSITE = {">=": "<", "<=": ">", "!=": "==", "==": "!=", ">": "<=", "<": ">="}
_SAYS = {"pass": "reached", "warn": "reached, with a warning", "fail": "not reached"}


def proof_table(verdicts: Sequence[Mapping[str, Any]], style: Style) -> str:
    """One row for every rule of these verdicts; empty text where no rule proves anything by interval."""
    rules = [rule for verdict in verdicts for rule in verdict["rules"]]
    if not any(rule["by"] == "interval" for rule in rules):
        return ""
    return render(_HEADINGS, [_row(rule) for rule in rules], style, right=("measured", "n"))


def _row(rule: Mapping[str, Any]) -> list[str]:
    low, high = rule["interval"] or (None, None)
    return [
        str(rule.get("metric") or rule.get("event")),
        rule["stat"],
        goal_of(rule["critical"] or rule["warning"]),
        f"{number(rule['value'])} {rule['unit']}".strip(),
        f"[{number(low)}, {number(high)}]" if rule["interval"] else "-",
        number(rule["n"]),
        _SAYS.get(rule["level"], f"inconclusive: {rule['message']}"),
    ]


def goal_of(limit: str) -> str:
    """The goal that a limit guards: the opposite comparison, as in `<= 500` for the limit `> 500`."""
    operator, _, value = limit.partition(" ")
    return f"{_OPPOSITE[operator]} {value}"
