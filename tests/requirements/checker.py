"""What is wrong with the table of requirements: ids that are missing, and proofs that do not exist."""

import ast
import functools
import shlex
from collections.abc import Iterator
from pathlib import Path

from harness.cli.verbs import VERBS
from harness.config.options import folders, groups
from tests.requirements.entries import Document, Requirement

ROOT = Path(__file__).resolve().parents[2]
HARNESS = "python -m harness "


def problems_of(document: Document, root: Path = ROOT) -> list[str]:
    """A sentence for each id that is missing or unknown, and for each proof that is not there below `root`."""
    told = [one.id for one in document.requirements]
    found = [f"{each}: is missing" for each in document.ids if each not in told]
    found += [f"{each}: is no id of this document" for each in told if each not in document.ids]
    for requirement in document.requirements:
        found += [f"{requirement.id}: {problem}" for problem in _problems_of_entry(requirement, root)]
    return found


def _problems_of_entry(requirement: Requirement, root: Path) -> Iterator[str]:
    if not requirement.what:
        yield "does not say what it asks for"
    if not requirement.seen_by and not requirement.open:
        yield "has neither a test or command nor a word on what is open"
    for proof in requirement.seen_by:
        if proof.startswith("tests/"):
            yield from _problems_of_test(proof, root)
        elif proof.startswith(HARNESS):
            yield from _problems_of_command(shlex.split(proof.removeprefix(HARNESS)))
        else:
            yield f"{proof!r} is neither a test below tests/ nor a command of the harness"


def _problems_of_test(proof: str, root: Path) -> Iterator[str]:
    name, _, function = proof.partition("::")
    path = root / name
    if not path.is_file() or not path.name.startswith("test_"):
        yield f"there is no test file {name}"
    elif function and function.partition("[")[0] not in _tests_in(path):
        yield f"{name} has no test {function.partition('[')[0]}"


@functools.cache
def _tests_in(path: Path) -> frozenset[str]:
    """The names of a file's test functions, read without importing it."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return frozenset(
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def _problems_of_command(words: list[str]) -> Iterator[str]:
    if words and "=" not in words[0] and words[0][0] != "-" and words[0] not in VERBS:
        yield f"the harness has no verb {words[0]!r}"
    shipped = _options()
    for word in words:
        group, _, chosen = word.partition("=")
        for option in chosen.split(",") if group in shipped else ():
            if option not in shipped[group]:
                yield f"conf/ has no {group}={option}"


@functools.cache
def _options() -> dict[str, frozenset[str]]:
    """The option names of each group that is shipped in conf/, whatever folders the environment adds."""
    return {group: frozenset(options) for group, options in groups(folders()[:1]).items()}
