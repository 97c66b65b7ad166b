"""What is said of a comparison: the verdict that the whole of it allows, the exit code, and what to try."""

import pytest

from harness.engine.ab_document import differences
from harness.results.canonical import digest
from harness.results.schema import validate
from tests.engine.ab_documents import a_document, pairs, spec


def test_a_document_fits_its_schema_and_holds_its_digest() -> None:
    document = a_document(pairs(7, 0.06), pairs(8, 0.06, seed=20), pairs(7, 0.06, seed=40))
    assert validate(document, "ab") == []
    assert document.pop("digest") == digest(document)


def test_a_slowdown_that_is_confirmed_fails() -> None:
    document = a_document(pairs(7, 0.06), [], pairs(7, 0.06, seed=40))
    assert (document["verdict"]["level"], document["exit_code"]) == ("slower", 1)
    assert "confirmed" in document["verdict"]["reason"]


def test_a_slowdown_that_is_not_confirmed_is_undecided() -> None:
    document = a_document(pairs(7, 0.06), [], pairs(7, 0.0, seed=40))
    assert (document["verdict"]["level"], document["exit_code"]) == ("undecided", 0)
    assert "the confirming run said same" in document["verdict"]["reason"]


@pytest.mark.parametrize("null", [0.1, -0.1])
def test_where_a_differs_from_itself_no_verdict_stands(null: float) -> None:
    document = a_document(pairs(7, 0.06, null))
    assert document["verdict"]["level"] == "undecided"
    assert "A against itself" in document["verdict"]["reason"]


def test_a_cancelled_comparison_keeps_its_pairs_and_decides_nothing() -> None:
    document = a_document(pairs(3, 0.2), cancelled=True)
    assert (document["status"], document["exit_code"]) == ("cancelled", 130)
    assert document["verdict"]["level"] == "undecided"
    assert len(document["pairs"]) == 3


def test_faster_is_no_failure() -> None:
    document = a_document(pairs(7, -0.06))
    assert (document["verdict"]["level"], document["exit_code"]) == ("faster", 0)


def test_a_self_test_never_fails_and_tells_its_noise() -> None:
    document = a_document(pairs(8, 0.3), kind="noise")
    assert document["exit_code"] == 0
    assert document["noise"]["false_alarms"] == 1
    assert validate(document, "ab") == []


def test_one_pair_asks_for_as_many_as_are_usual() -> None:
    document = a_document(pairs(1, 0.3))
    assert document["verdict"]["level"] == "undecided"
    assert "take 6 more pairs: --pairs 7" in document["messages"][0]


def test_a_slow_beginning_of_most_processes_is_told_with_what_helps() -> None:
    slow = pairs(7)
    for pair in slow:
        pair.values["B"][:4] = [2.0] * 4  # type: ignore[index]
    document = a_document(slow)
    assert document["findings"]["B"]["slow_starts"] == 7
    assert any("B: the first rounds" in message and "measure.warmup" in message for message in document["messages"])


def test_a_slow_beginning_of_one_process_is_not() -> None:
    slow = pairs(7)
    slow[0].values["B"][:4] = [2.0] * 4  # type: ignore[index]
    assert not any("first rounds" in message for message in a_document(slow)["messages"])


def test_a_drift_of_most_processes_is_told() -> None:
    drifting = pairs(7)
    for pair in drifting:
        for arm in ("A", "B", "null"):
            pair.values[arm][:] = [value * (1 + i / 50) for i, value in enumerate(pair.values[arm])]  # type: ignore[index]
    assert any("A: times drifted in 7 of 7 processes" in message for message in a_document(drifting)["messages"])


def test_a_host_that_was_not_quiet_is_told() -> None:
    document = a_document(quietness={"before": {}, "after": {"quiet": False, "reason": "tasks waited"}})
    assert "the host was not quiet: tasks waited" in document["messages"]


def test_differences_are_named_with_both_values() -> None:
    assert differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}, "d": []}) == [
        {"key": "b.c", "a": 2, "b": 3},
        {"key": "d", "a": None, "b": []},
    ]
    assert differences(spec().stored_config, spec("seed=1").stored_config) == [{"key": "seed", "a": 0, "b": 1}]
