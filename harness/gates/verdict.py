"""The verdict over all rules of a run, and the exit code that it leads to."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.gates.conditions import unmet
from harness.gates.judge import Finding, judge_rule
from harness.gates.levels import worst
from harness.gates.pressure import PRESSURE_LIMIT_PERCENT, pressure_percent
from harness.gates.thresholds import Rule


def judge(
    document: Mapping[str, Any],
    rules: Sequence[Rule],
    *,
    strict: bool = False,
    pressure_limit_percent: float = PRESSURE_LIMIT_PERCENT,
) -> dict[str, Any]:
    """The verdict of a result document: the worst of its rules, in the shape of `result.json`.

    Without a rule that applies the level is "none". A failed iteration makes it at least a warning. A run that did not
    complete can fail but not pass: what is missing might have broken a rule. On a host whose mean CPU pressure was over
    the limit, rules by interval are inconclusive; where pressure is not measured they are judged.
    """
    pressure = pressure_percent(document)
    busy = None
    if pressure is not None and pressure > pressure_limit_percent:
        busy = f"the host was not quiet: CPU pressure {pressure:.1f} % is over {pressure_limit_percent:g} %"
    findings, messages = _findings(document, rules, busy)
    level = worst([finding.level for finding in findings])
    if level == "none":
        messages.append("no envelope: no threshold rule applies to this run")
    iterations = document["iterations"]
    if iterations["failed"]:
        level = worst([level, "warn"])
        share = f"error rate {iterations['error_rate']:.3g}"
        messages.append(f"{iterations['failed']} of {iterations['completed']} iterations failed ({share})")
    if document["status"] != "completed" and level in ("pass", "warn"):
        level = "inconclusive"
        messages.append(f"the run is {document['status']}: what it did not measure might have broken a rule")
    if document.get("unmeasurable"):
        messages.append(f"not measurable here: {', '.join(document['unmeasurable'])}; the first warning says why")
    if document["contended"]:
        messages.append("contended: other runs were measured on this host at the same time")
    return {
        "level": level,
        "strict": strict,
        "rules": [finding.as_dict() for finding in findings],
        "messages": messages,
    }


def _findings(document: Mapping[str, Any], rules: Sequence[Rule], busy: str | None) -> tuple[list[Finding], list[str]]:
    findings, messages = [], []
    for rule in rules:
        try:
            reason = unmet(rule.when, document)
        except LookupError as error:
            findings.append(Finding(rule, "inconclusive", str(error.args[0])))
            continue
        if reason is None:
            findings.append(judge_rule(rule, document, busy))
        else:
            messages.append(f"the rule on {rule.subject} {rule.stat} does not apply: when {reason}")
    return findings, messages


def exit_code(status: str, level: str, *, strict: bool = False) -> int:
    """The exit code of a run: 0 pass, warn, none, inconclusive; 1 fail; 3 did not run to its end; 130 cancelled.

    With `strict` inconclusive is 1. A suite's exit code is the largest of its jobs' (see `suite_exit_code`).
    """
    if status == "cancelled":
        return 130
    if status in ("failed", "crashed"):
        return 3
    return int(level == "fail" or (strict and level == "inconclusive"))


def suite_exit_code(codes: Sequence[int]) -> int:
    """One exit code for many jobs: 130 over 3 over 2 over 1 over 0; 0 without any."""
    return max(codes, default=0)
