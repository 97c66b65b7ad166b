"""Every requirement is accounted for: each id has a test, a command, or a word on what is open."""

import pytest

from tests.requirements.checker import problems_of
from tests.requirements.entries import DOCUMENTS, FOLDER, Document, documents
from tests.requirements.flags import FLAGS
from tests.requirements.table import TABLE, table

WHOLE = documents()


@pytest.mark.parametrize("document", WHOLE, ids=lambda document: document.title)
def test_no_id_is_missing_and_every_proof_exists(document: Document) -> None:
    assert problems_of(document) == []


def test_every_document_of_the_folder_is_read() -> None:
    assert {path.name for path in FOLDER.glob("*.yaml")} == {*DOCUMENTS, FLAGS.name}


def test_the_table_is_that_of_the_documents() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(WHOLE), "run `python -m tests.requirements.table`"
