"""Everything wrong with a composed configuration, in one list: each with its place, rule, value and next step."""

import functools
import json
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from harness.config import crossrules, hints
from harness.config.composed import Composed
from harness.config.locate import Locator
from harness.config.parameters import target_findings
from harness.config.redact import redact_problems, secrets_of
from harness.config.sentences import MISSING, Finding, findings
from harness.config.targets import Schemas
from harness.errors import Problem
from harness.paths import data


@functools.cache
def config_schema() -> Mapping[str, Any]:
    """The schema of a composed configuration."""
    schema: Mapping[str, Any] = json.loads((data("schemas") / "config.schema.json").read_text(encoding="utf-8"))
    return schema


def check(composed: Composed, catalogue: Container[str], target_schemas: Schemas | None = None) -> list[Problem]:
    """The problems met while composing and all that the schemas and rules have against the result.

    `target_schemas` are the signatures that a worker described, for the targets that `undescribed` names; without them
    the parameters of these targets are not checked.
    """
    crossing = list(crossrules.findings(composed, catalogue))
    found = _first_by_key(crossing, findings(config_schema(), composed.config))
    found = _first_by_key(found, target_findings(composed, target_schemas or {}))
    locator = Locator(composed)
    problems = [*composed.problems, *crossrules.file_problems(composed)]
    problems += [_problem(one, locator) for one in found if not composed.is_unresolved(one.keys)]
    return redact_problems(list(dict.fromkeys(problems)), secrets_of(composed.config, os.environ))


def _first_by_key(known: Sequence[Finding], more: Iterable[Finding]) -> list[Finding]:
    """What is known, and what is said of other keys: one mistake, one message, by the rule that knows most of it."""
    explained = {one.keys for one in known}
    return [*known, *(one for one in more if one.keys not in explained)]


def _problem(finding: Finding, locator: Locator) -> Problem:
    dotted = ".".join(finding.keys)
    hint = _override_hint(finding, locator) or finding.hint or _hint(finding)
    return Problem(locator.place(finding.keys), f"{dotted}: {finding.message}" if dotted else finding.message, hint)


def _override_hint(finding: Finding, locator: Locator) -> str:
    """On the command line a text that looks like a number needs two pairs of quotes, one for the shell."""
    typed = locator.override(finding.keys)
    if typed is None or "must be text" not in finding.message:
        return ""
    key, _, value = typed.partition("=")
    return f"for text write {hints.quote(key, value)}"


def _hint(finding: Finding) -> str:
    if finding.message == "unknown key":
        return _elsewhere(finding.keys[-1])
    return f"set it with {'.'.join(finding.keys)}=…" if finding.message == MISSING else ""


def _elsewhere(name: str) -> str:
    """The full path of a known key of this name, for a key that was set one level too high."""
    for group, schema in config_schema()["properties"].items():
        if name in schema.get("properties", {}):
            return f"did you mean '{group}.{name}'?"
    return ""
