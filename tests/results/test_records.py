"""What is stored is found by the same words, whatever it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import NotFound, StoreLost
from harness.results import records
from harness.results.history import History
from harness.results.records import COMPARISON, RUN, SUITE, Named
from harness.results.store import Store
from tests.results.documents import a_stored_run
from tests.results.stored_records import a_comparison, a_stored_suite, an_id, path_of

AB_ID = an_id(1, "ab-function-abab01")
SUITE_ID = an_id(2, "suite.nightly-abab02")


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """A store with a run, a suite and a comparison."""
    store = Store(tmp_path)
    a_stored_run(store)
    store.close()
    a_stored_suite(tmp_path, SUITE_ID)
    a_comparison(tmp_path, AB_ID)
    found = History(tmp_path)
    yield found
    found.close()


def test_each_kind_is_named_by_its_id_its_beginning_or_its_end(history: History) -> None:
    (run,) = history.index.find()
    for kind, each in ((RUN, run["run_id"]), (SUITE, SUITE_ID), (COMPARISON, AB_ID)):
        for text in (each, each[:-3], each[-6:]):
            assert records.find(history, text) == Named(kind, each)


def test_last_is_the_last_run_whatever_came_later(history: History) -> None:
    assert records.find(history, "last").kind is RUN


def test_words_that_mean_several_are_refused_with_all_that_they_mean(history: History) -> None:
    (run,) = history.index.find()
    with pytest.raises(NotFound, match="more than one run, suite or comparison is meant by '20'") as refused:
        records.find(history, "20")
    assert refused.value.hint == f"one of: {run['run_id']}, {SUITE_ID}, {AB_ID}"
    with pytest.raises(NotFound, match="more than one run or suite"):
        records.find(history, "20", [SUITE])


def test_an_id_that_begins_another_is_meant_itself(history: History) -> None:
    longer = f"{AB_ID}-copied"
    a_comparison(history.outputs, longer)
    assert records.find(history, AB_ID).id == AB_ID
    assert records.find(history, longer).id == longer


@pytest.mark.parametrize("text", ["nothing", "", "%", "../runs"])
def test_what_is_not_there_is_not_found(text: str, history: History) -> None:
    with pytest.raises(NotFound, match=f"no run, suite or comparison '{text}'") as refused:
        records.find(history, text)
    assert "--suites or --ab" in refused.value.hint
    with pytest.raises(NotFound, match="no run or suite"):
        records.find(history, text, [SUITE])


def test_a_store_without_any_has_none(tmp_path: Path) -> None:
    assert records.ids(tmp_path / "nowhere", SUITE) == []
    (tmp_path / "ab" / "20261122T101500Z-ab-x-000000").mkdir(parents=True)
    (tmp_path / "ab" / "a file").touch()
    assert records.ids(tmp_path, COMPARISON) == [], "an empty folder is none"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"name": "nightly"', '"name": "other"', "does not have the digest"),
        ('"exit_code": 0', '"exit_code": NaN', "does not have the digest"),
        ('"schema"', '"scheme"', "is no document of the kind harness.suite"),
        ("{", "", "cannot read"),
        ('"harness.suite/1"', '"harness.suite/9"', "reads up to"),
    ],
)
def test_a_document_that_was_changed_is_not_taken_for_what_was_stored(
    old: str, new: str, says: str, history: History
) -> None:
    named = Named(SUITE, SUITE_ID)
    path = path_of(history.outputs, named)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(StoreLost, match=says) as lost:
        records.read(history.outputs, named)
    assert lost.value.hint


def test_a_comparison_tells_nothing_before_its_report_and_misses_its_document_after(tmp_path: Path) -> None:
    named = Named(COMPARISON, AB_ID)
    folder = records.folder_of(tmp_path, *named)
    (folder / "arms").mkdir(parents=True)
    assert records.is_open(tmp_path, named)
    (folder / "report.md").touch()
    assert not records.is_open(tmp_path, named)
