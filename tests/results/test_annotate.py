import threading
from pathlib import Path

import pytest

from harness.errors import RefusedError
from harness.journal.lines import read_journal
from harness.results.annotate import annotate, noted, pinned, tagged
from harness.results.history import History
from harness.results.index import Index
from harness.results.store import Store
from harness.results.verify import problems_of
from tests.results.documents import a_run, a_stored_run


def test_tags_pins_and_notes_are_kept_and_found_and_the_run_still_holds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _, known = a_stored_run(store)
    run_id = known["run_id"]
    for change in (tagged(["best", "nightly"], []), tagged([], ["nightly"]), pinned(True), noted(" looks good ", "me")):
        annotate(tmp_path, [run_id], change)
    history = History(tmp_path)
    found = history.manifest(run_id)
    assert (found["tags"], found["pinned"]) == (["best"], True)
    assert [(note["user"], note["text"]) for note in found["notes"]] == [("me", "looks good")]
    assert problems_of(store.runs / run_id, read_journal) == []
    for index in (history.index, Index(tmp_path)):
        assert [row["run_id"] for row in index.find(tag="best", pinned="1")] == [run_id]
        assert index.find(tag="nightly") == []
    (tmp_path / "index.sqlite").unlink()
    assert Index(tmp_path).find(pinned="1")[0]["run_id"] == run_id, "the manifest is the truth"
    history.close()
    store.close()


def test_a_running_run_is_refused_as_its_process_would_write_over_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = a_run(store)
    with pytest.raises(RefusedError, match=r"is running and cannot be changed yet\n.*tags=\[…\]"):
        annotate(tmp_path, [run.run_id], pinned(True))
    store.close()


@pytest.mark.parametrize("tag", ["", "two words", "a,b", "a\nb"])
def test_a_tag_is_one_word(tag: str) -> None:
    with pytest.raises(RefusedError, match="should be one word without commas"):
        tagged([tag], [])


def test_an_empty_note_is_refused() -> None:
    with pytest.raises(RefusedError, match="should not be empty"):
        noted("  ", None)


def test_notes_that_are_added_at_once_are_all_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _, known = a_stored_run(store)
    texts = [f"note {number}" for number in range(8)]
    threads = [
        threading.Thread(target=annotate, args=(tmp_path, [known["run_id"]], noted(text, None))) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = History(tmp_path)
    assert sorted(note["text"] for note in history.manifest(known["run_id"])["notes"]) == texts
    history.close()
    store.close()
