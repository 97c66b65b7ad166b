"""What cannot be gone on with is refused with its reason before anything runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.resume import main, newest_of
from harness.config.redact import MASK
from harness.errors import ConfigError, NotFound, RefusedError
from harness.results import schema
from harness.results.canonical import digest
from harness.results.history import History
from harness.results.store import Store
from tests.cli.stores import store as store
from tests.results.documents import a_run, a_stored_run
from tests.results.suites import a_suite, ended

CONFIG = {"seed": 0, "scenario": {"_target_": "x.Y"}}


def a_crashed_run(store: Store, config: dict[str, Any] | None = None, **about: Any) -> str:
    """A run that was cut short, as recovery leaves it."""
    text = yaml.safe_dump(config or CONFIG)
    run = a_run(store, config_yaml=text, config_digest=digest(config or CONFIG), **about)
    store.close_run(run.run_id, "crashed", exit_code=3, reason={"kind": "lost", "message": "gone"})
    return run.run_id


def change(store: Store, run_id: str, **changes: Any) -> None:
    path = store.runs / run_id / "manifest.json"
    path.write_text(json.dumps({**schema.read(path, "manifest"), **changes}))


def test_a_completed_run_has_nothing_left(store: Store) -> None:
    result, _ = a_stored_run(store)
    with pytest.raises(RefusedError, match="has completed") as refused:
        main([result["run_id"]])
    assert f"rerun {result['run_id']}" in refused.value.hint


def test_a_run_that_another_process_is_at_is_left_alone(store: Store) -> None:
    run = a_run(store)
    with pytest.raises(RefusedError, match="is still running"):
        main([run.run_id])


def test_a_run_of_another_host_is_refused(store: Store) -> None:
    run_id = a_crashed_run(store)
    change(store, run_id, host="elsewhere")
    with pytest.raises(RefusedError, match="was measured on elsewhere, and this is"):
        main([run_id])


def test_an_imported_run_is_never_executed(store: Store) -> None:
    run_id = a_crashed_run(store)
    origin = {"kind": "bundle", "source": "mail.zip", "imported_at": "2026-11-22T10:00:00Z", "digest": None}
    change(store, run_id, origin=origin)
    with pytest.raises(RefusedError, match=r"imported from mail\.zip"):
        main([run_id])


def test_a_configuration_that_was_changed_meanwhile_is_refused(store: Store) -> None:
    run_id = a_crashed_run(store)
    path = store.runs / run_id / "config.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 1"))
    with pytest.raises(RefusedError, match=r"config.yaml was changed since the run was started"):
        main([run_id])


def test_a_secret_that_was_taken_out_is_told(store: Store) -> None:
    run_id = a_crashed_run(store, {**CONFIG, "password": MASK})
    with pytest.raises(ConfigError, match="a secret was taken out"):
        main([run_id])


def test_a_name_that_is_no_run_and_no_suite_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="no run or suite 'nothing'"):
        main(["nothing"])


def test_a_run_is_told_with_its_whole_line_the_newest_first(store: Store) -> None:
    first = a_crashed_run(store)
    second = a_crashed_run(store, resumed_from=first)
    third = a_crashed_run(store, resumed_from=second)
    a_crashed_run(store)
    history = History(store.outputs)
    for run_id in (first, second, third):
        assert [manifest["run_id"] for manifest in newest_of(history, run_id)] == [third, second, first]
    history.close()


def test_a_run_that_was_resumed_to_its_end_says_by_which(store: Store) -> None:
    first = a_crashed_run(store)
    result, _ = a_stored_run(store)
    change(store, result["run_id"], resumed_from=first)
    with pytest.raises(RefusedError, match=f"{first} was resumed by {result['run_id']}, which has completed"):
        main([first])


def test_a_suite_that_has_ended_or_still_runs_is_refused(store: Store) -> None:
    record = a_suite(store.outputs)
    with pytest.raises(RefusedError, match="still runs in process"):
        main([record.suite_id])
    ended(ended(record, 0), 1)
    with pytest.raises(RefusedError, match="every job of"):
        main([record.suite_id])


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"working_folder": Path("/elsewhere")}, "was started in /elsewhere"),
        ({"overrides": [f"scenario.password={MASK}"]}, "a secret was taken out"),
    ],
)
def test_a_suite_that_would_be_another_one_here_is_refused(
    about: dict[str, Any],
    said: str,
    store: Store,
) -> None:
    record = ended(a_suite(store.outputs, **about), 0)
    record.end("cancelled", 130)
    with pytest.raises(RefusedError, match=said):
        main([record.suite_id])


def test_a_suite_of_another_host_is_refused(store: Store) -> None:
    record = a_suite(store.outputs)
    record.document["host"] = "elsewhere"
    record.end("cancelled", 130)
    with pytest.raises(RefusedError, match="was measured on elsewhere"):
        main([record.suite_id])
