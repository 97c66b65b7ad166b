"""Every YAML file below tests/examples: a bad one is answered as its first lines say, a good one with nothing."""

import os
from pathlib import Path

import pytest

from tests.config.examples import EXAMPLES, Example, problems_of


@pytest.fixture(autouse=True)
def folder_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delenv("HARNESS_CONFIG_DIR", raising=False)
    monkeypatch.delenv("HARNESS_TEST_ABSENT", raising=False)


def examples(kind: str) -> list[pytest.ParameterSet]:
    return [pytest.param(Example(path), id=path.stem) for path in sorted((EXAMPLES / kind).glob("*.yaml"))]


@pytest.mark.parametrize("example", examples("bad"))
def test_a_bad_file_is_answered_with_the_messages_of_its_first_lines(example: Example) -> None:
    example.install(Path("my"))
    found = [str(problem).replace(f"{EXAMPLES}{os.sep}", "") for problem in problems_of(example.overrides, Path("my"))]
    assert sorted(found) == sorted(example.expected)


@pytest.mark.parametrize("example", examples("good"))
def test_a_good_file_has_no_problem(example: Example) -> None:
    example.install(Path("my"))
    assert problems_of(example.overrides, Path("my")) == []


def test_every_bad_file_says_what_it_expects() -> None:
    assert all(example.expected for example in (Example(path) for path in (EXAMPLES / "bad").glob("*.yaml")))
