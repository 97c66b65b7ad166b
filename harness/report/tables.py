"""The tables of a run and of a suite, for the terminal and for Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from harness.report.numbers import bounds, duration, number, short, with_interval

Style = Literal["simple", "pipe"]  # the terminal's, and Markdown's
_METRIC_HEADINGS = ("metric", "unit", "n", "mean ± 95 % CI", "p50", "p95", "p99", "warnings")
_INSTRUMENT = "instrument"  # the column of what the measuring itself may have added, where that is known of any metric
_RULE_HEADINGS = ("level", "rule", "value", "n", "95 % CI", "warning", "critical", "by")
_SUITE_HEADINGS = ("scenario", "overrides", "status", "verdict", "time", "key metric", "run")


def render(headings: Sequence[str], rows: Sequence[Sequence[str]], style: Style, right: Iterable[str] = ()) -> str:
    """A table; the columns named in `right` are numbers and aligned right."""
    from tabulate import tabulate  # late: it takes 50 ms to import

    align = ["right" if heading in set(right) else "left" for heading in headings]
    cells = [[_cell(cell, style) for cell in row] for row in rows]
    return str(
        tabulate(cells, list(headings), tablefmt=style, colalign=align if cells else None, disable_numparse=True)
    )


def metrics_table(document: Mapping[str, Any], style: Style) -> str:
    """One row a metric: how many samples, the mean with its interval, percentiles, and what to be wary of.

    Where the instrument's error is known of any metric, a column has it.
    """
    rows = []
    known = any("error" in metric for metric in document["metrics"].values())
    for name, metric in document["metrics"].items():
        found = metric["statistics"]
        row = [name, metric["unit"], number(found["n"]), with_interval(found["mean"], found["ci"]["mean"])]
        row += [_instrument(metric.get("error"))] if known else []
        rows.append([*row, *(number(found[stat]) for stat in ("p50", "p95", "p99")), _wary(found)])
    headings = [*_METRIC_HEADINGS[:4], *([_INSTRUMENT] if known else []), *_METRIC_HEADINGS[4:]]
    return render(headings, rows, style, right=headings[2:-1])


def rules_table(verdict: Mapping[str, Any], style: Style) -> str:
    """One row a rule: how it was judged, on what value, against which limits."""
    rows = []
    for rule in verdict["rules"]:
        subject = rule.get("metric") or rule.get("event") or ""
        row = [rule["level"], f"{subject} {rule['stat']}", f"{number(rule['value'])} {rule['unit']}".strip()]
        rows.append(
            [
                *row,
                number(rule["n"]),
                bounds(rule["interval"]),
                rule["warning"] or "-",
                rule["critical"] or "-",
                rule["by"],
            ]
        )
    return render(_RULE_HEADINGS, rows, style, right=("value", "n", "95 % CI"))


def suite_table(manifests: Sequence[Mapping[str, Any]], style: Style) -> str:
    """One row a job of a suite or sweep, from the jobs' manifests; only the overrides that differ are shown."""
    shared = set.intersection(*(set(job["overrides"]) for job in manifests)) if manifests else set()
    rows = [
        [
            job["scenario"],
            " ".join(word for word in job["overrides"] if word not in shared and not word.startswith("scenario="))
            or "-",
            said_status(job),
            job["verdict"] or "-",
            duration(job["duration_s"]),
            headline(job["headline"]),
            job["run_id"],
        ]
        for job in manifests
    ]
    return render(_SUITE_HEADINGS, rows, style, right=("time",))


def said_status(manifest: Mapping[str, Any]) -> str:
    """The status, with its reason where there is one."""
    kind = (manifest["reason"] or {}).get("kind")
    return f"{manifest['status']} ({kind})" if kind else str(manifest["status"])


def headline(found: Mapping[str, Any] | None) -> str:
    """The one metric that stands for a run, in a few words."""
    return "-" if found is None else f"{found['metric']} p50 {number(found['p50'])} {found['unit']} (n={found['n']})"


def _instrument(error: Mapping[str, Any] | None) -> str:
    """The error of the instrument, and whether it is too large for the metric to be measured."""
    if error is None:
        return "-"
    return f"± {short(error['plus_minus'])}" + ("" if error["measurable"] else " (not measurable)")


def _wary(statistics: Mapping[str, Any]) -> str:
    outliers = statistics["outliers"]["mild"] + statistics["outliers"]["severe"]
    notes = ["unstable"] if statistics["unstable"] else []
    notes += [f"{outliers} outlier{'s' if outliers > 1 else ''}"] if outliers else []
    return ", ".join(notes)


def _cell(text: str, style: Style) -> str:
    """A cell on one line that cannot break the table."""
    line = " ".join(text.split())
    return line.replace("|", "\\|") if style == "pipe" else line
