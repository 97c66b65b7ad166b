"""Runs in a store, with steps that took what the test says."""

from collections.abc import Mapping
from typing import Any

from harness.journal.lines import Journal
from harness.results.store import OpenRun, Store
from tests.results.documents import a_result
from tests.track.events import whole_run

WORK = "a" * 64


def a_running_run(store: Store, *events: Mapping[str, Any], work: str = WORK) -> OpenRun:
    """A run of this process that has not ended, with these events."""
    run = store.create_run(scenario="rollback", device="cpu", trace_id="t", work_digest=work)
    journal = Journal(run.folder / "events.jsonl")
    for each in events:
        journal.append(each)
    journal.close()
    return run


def a_timed_run(store: Store, durations: Mapping[str, float], *, work: str = WORK, **changes: Any) -> OpenRun:
    """A completed run whose phases took this long; `changes` are those of its manifest."""
    from harness.track.progress import Tracker

    tracker = Tracker()
    events = whole_run(durations)
    for each in events:
        tracker(each)
    run = a_running_run(store, *events, work=work)
    store.finish(a_result({"run_id": run.run_id}), report="# r", progress={**tracker.record(), **changes})
    return run
