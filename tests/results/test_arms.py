from pathlib import Path

import pytest

from harness.errors import NotFound, RefusedError
from harness.results import baseline
from harness.results.arms import find
from harness.results.history import History
from harness.results.store import Store
from tests.results.documents import a_run, a_stored_run


def test_arms_are_found_by_run_list_tag_model_and_baseline(tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs")
    ids = [a_stored_run(store, run={"tags": ["night"], "model": model})[1]["run_id"] for model in ("a", "b", "b")]
    a_stored_run(
        store, run={"status": "failed", "reason": {"kind": "error", "message": "x"}, "tags": ["night"], "model": "b"}
    )
    result = History(tmp_path / "outputs").result(ids[0])
    assert result is not None
    path, _ = baseline.save(result, tmp_path / "baselines")
    history = History(tmp_path / "outputs")
    assert find(ids[1], history).run_ids == [ids[1]]
    assert find(f"{ids[0]}, {ids[2]}", history).run_ids == [ids[0], ids[2]]
    assert set(find("tag:night", history).run_ids) == set(ids), "the failed one has the tag too"
    assert set(find("model:b", history).run_ids) == set(ids[1:])
    assert find("last", history).headline == "step.latency_ms"
    for text in ("baseline", str(path)):
        arm = find(text, history, base=tmp_path / "baselines")
        assert (arm.baseline, arm.run_ids, arm.name) == (True, [ids[0]], "baseline rollback/cpu")
    history.close()
    store.close()


def test_what_cannot_be_compared_says_why(tmp_path: Path) -> None:
    store = Store(tmp_path)
    running = a_run(store)
    history = History(tmp_path)
    with pytest.raises(RefusedError, match="it is running and has no result"):
        find(running.run_id, history)
    with pytest.raises(NotFound, match="no completed run matches 'tag:none'"):
        find("tag:none", history)
    with pytest.raises(NotFound, match="no run 'zzz'"):
        find("zzz", history)
    with pytest.raises(NotFound, match="says which baseline is meant"):
        find("baseline", history)
    history.close()
    store.close()
