"""Numbers that a program prints: JSON lines such as `{"tokens_per_second": 12.3}`, and named regular expressions."""

import json
import math
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from harness.errors import BenchmarkFailed, ConfigError, Problem

_OWN = ("command.", "iteration.")


@dataclass
class Printed:
    """The values found, in the order of printing, and the lines that began like JSON and were none."""

    values: list[tuple[str, float]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def read_json_lines(text: str, declared: Container[str]) -> Printed:
    """Every number of every line that is a JSON object; other lines are the program's own business.

    Text under an undeclared name is a label and no metric.

    Raises:
        BenchmarkFailed: a number has a name that is not declared, or a declared name has no finite number.
    """
    found = Printed()
    for line in text.splitlines():
        if not line.lstrip().startswith("{"):
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            found.broken.append(line[:200])
            continue
        found.values += _numbers(content, declared)
    return found


def _numbers(content: Mapping[str, object], declared: Container[str]) -> Iterator[tuple[str, float]]:
    for name, value in content.items():
        number = _number(value)
        if name not in declared and number is None:
            continue
        if name not in declared:
            raise BenchmarkFailed(
                f"the command printed the metric {name!r}, which is not declared",
                f"declare it under `metrics:`, as `{name}: {{unit: ms, better: lower}}`; "
                "or set scenario.json_lines=false if its JSON is not meant as metrics",
            )
        if number is None or not math.isfinite(number) or name.startswith(_OWN):
            raise _wrong(name, json.dumps(value))
        yield name, number


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _wrong(name: str, found: str) -> BenchmarkFailed:
    if name.startswith(_OWN):
        return BenchmarkFailed(
            f"the command printed {name!r}, which the harness measures itself", "choose another name"
        )
    return BenchmarkFailed(f"the metric {name!r} must be a finite number, the command printed {found[:80]}")


def compile_patterns(patterns: Mapping[str, str], declared: Container[str]) -> dict[str, re.Pattern[str]]:
    """The regular expressions by metric name; `^` and `$` match at lines.

    Raises:
        ConfigError: all that are wrong: not a regular expression, without a group for the number, not declared.
    """
    compiled: dict[str, re.Pattern[str]] = {}
    problems: list[Problem] = []
    for name, pattern in patterns.items():
        place = f"scenario.patterns.{name}"
        if name not in declared or name.startswith(_OWN):
            problems.append(Problem(place, f"the metric {name!r} is not declared", f"add `{name}:` under `metrics:`"))
        try:
            compiled[name] = re.compile(pattern, re.MULTILINE)
        except re.error as error:
            problems.append(Problem(place, f"must be a regular expression, {pattern!r} is none: {error}"))
            continue
        if not compiled[name].groups:
            problems.append(Problem(place, "must have a group around the number", "for example 'rate: ([0-9.]+)'"))
    if problems:
        raise ConfigError(problems)
    return compiled


def read_patterns(text: str, patterns: Mapping[str, re.Pattern[str]]) -> list[tuple[str, float]]:
    """The number in the group `value`, else in the first group, of every match of every pattern.

    Raises:
        BenchmarkFailed: a pattern matches nowhere, or its group is not a finite number.
    """
    found: list[tuple[str, float]] = []
    for name, pattern in patterns.items():
        matches = list(pattern.finditer(text))
        if not matches:
            raise BenchmarkFailed(
                f"scenario.patterns.{name}: {pattern.pattern!r} matches nothing that the command printed",
                f"it printed, at the end: {text[-300:]!r}",
            )
        for match in matches:
            group = match["value"] if "value" in pattern.groupindex else match[1]
            try:
                number = float(group)
            except (TypeError, ValueError):
                number = math.nan
            if not math.isfinite(number):
                raise _wrong(name, repr(group))
            found.append((name, number))
    return found
