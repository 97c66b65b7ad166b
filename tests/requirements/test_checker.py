"""The checker finds each way in which the table could claim more than there is."""

from pathlib import Path

import pytest

from tests.requirements.checker import problems_of
from tests.requirements.entries import Document, Requirement, document_of, expand
from tests.requirements.table import table

HERE = "tests/requirements/test_checker.py"


def a_document(*requirements: Requirement, ids: tuple[str, ...] = ()) -> Document:
    return Document("Made up", ids or tuple(one.id for one in requirements), requirements)


def entry(*seen_by: str, name: str = "A1", what: str = "Does it.", left: str = "") -> Requirement:
    return Requirement(name, what, seen_by, left)


@pytest.mark.parametrize(
    "proof",
    [
        HERE,
        f"{HERE}::test_what_exists_is_accepted",
        f"{HERE}::test_what_exists_is_accepted[one case]",
        "python -m harness scenario=rollback device=cpu",
        "python -m harness -m scenario=steady_train model=linear,mlp",
        "python -m harness trend function",
    ],
)
def test_what_exists_is_accepted(proof: str) -> None:
    assert problems_of(a_document(entry(proof))) == []


@pytest.mark.parametrize(
    ("proof", "said"),
    [
        ("tests/requirements/test_absent.py", "there is no test file tests/requirements/test_absent.py"),
        ("tests/requirements/checker.py", "there is no test file tests/requirements/checker.py"),
        (f"{HERE}::test_absent", f"{HERE} has no test test_absent"),
        (f"{HERE}::entry", f"{HERE} has no test entry"),
        ("python -m harness tredn function", "the harness has no verb 'tredn'"),
        ("python -m harness scenario=rolback", "conf/ has no scenario=rolback"),
        ("python -m harness suite=absent", "conf/ has no suite=absent"),
        ("python -m harness -m scenario=steady_train model=linear,absent", "conf/ has no model=absent"),
        ("python -m harness describe scenario=absent", "conf/ has no scenario=absent"),
        ("make test", "'make test' is neither a test below tests/ nor a command of the harness"),
    ],
)
def test_what_does_not_exist_is_found(proof: str, said: str) -> None:
    assert problems_of(a_document(entry(proof))) == [f"A1: {said}"]


def test_a_missing_id_and_an_unknown_one_are_found() -> None:
    found = problems_of(a_document(entry(left="all of it"), entry(name="B1", left="all"), ids=("A1", "A2")))
    assert found == ["A2: is missing", "B1: is no id of this document"]


def test_an_entry_with_neither_proof_nor_a_word_is_found() -> None:
    assert problems_of(a_document(entry())) == ["A1: has neither a test or command nor a word on what is open"]
    assert problems_of(a_document(entry(left="Not built."))) == []


def test_an_entry_that_does_not_say_what_it_is_about_is_found() -> None:
    assert problems_of(a_document(entry(what="", left="Not built."))) == ["A1: does not say what it asks for"]


def test_a_test_that_was_taken_out_of_its_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "tests" / "test_it.py"
    path.parent.mkdir()
    path.write_text("def test_other() -> None: ...\n\nclass Inner:\n    def test_it(self) -> None: ...\n")
    assert problems_of(a_document(entry("tests/test_it.py::test_it")), tmp_path) == [
        "A1: tests/test_it.py has no test test_it"
    ]


def test_ids_are_written_as_ranges() -> None:
    assert expand({"A{}": 2, "FR-{:03}": 1}) == ("A1", "A2", "FR-001")


def test_an_id_that_is_written_twice_is_refused() -> None:
    text = "title: t\nids: {'A{}': 1}\nrequirements:\n  A1: {what: x, open: y}\n  A1: {what: x, open: z}\n"
    with pytest.raises(ValueError, match="written twice: A1"):
        document_of(text)


def test_a_misspelt_key_of_an_entry_is_refused() -> None:
    with pytest.raises(TypeError, match="opne"):
        document_of("title: t\nids: {'A{}': 1}\nrequirements: {A1: {what: x, opne: y}}\n")


def test_the_table_counts_what_is_seen_partly_seen_and_open() -> None:
    made = a_document(entry(HERE), entry(HERE, name="A2", left="a | b"), entry(name="A3", left="All."))
    text = table([made, made])
    assert "**6 ids: 2 seen, 2 partly, 2 open**" in text
    assert "\n3 ids: 1 seen, 1 partly, 1 open\n" in text
    assert f"| A2 | Does it. | `{HERE}` | a \\| b |" in text
