"""What the measured process says of its own error and of its subject reaches the result."""

from pathlib import Path
from typing import Any

import pytest

from harness.engine.told import Told
from harness.errors import BenchmarkFailed
from harness.measure.instrument import InstrumentError
from tests.scenarios.contexts import by_hand

METRIC = "iteration.duration_ms"


def told(folder: Path, *errors: tuple[float, str]) -> Told:
    """A listener that has heard these errors of one metric."""
    hand, listener = by_hand(folder), Told()
    for plus_minus, basis in errors:
        hand.context.instrument_error(METRIC, plus_minus, basis=basis)
    for name, attributes in hand.events:
        listener({"event": name, **attributes})
    return listener


def test_the_largest_error_said_of_a_metric_holds(tmp_path: Path) -> None:
    found = told(tmp_path, (0.2, "first"), (0.5, "under load"), (0.1, "last"))
    assert found.instrument == {METRIC: InstrumentError(0.5, "under load")}


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_an_error_that_is_no_number_from_zero_up_is_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(BenchmarkFailed, match="not a number from 0 up"):
        told(tmp_path, (value, "?"))


def test_an_error_of_an_undeclared_metric_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="is not declared"):
        by_hand(tmp_path).context.instrument_error("no.such_ms", 1.0, basis="?")


def test_facts_told_twice_replace_those_told_before(tmp_path: Path) -> None:
    hand, listener = by_hand(tmp_path), Told()
    hand.context.describe("llm", model="small", digest=None)
    hand.context.describe("llm", model="large")
    for name, attributes in hand.events:
        listener({"event": name, **attributes})
    facts: Any = listener.facts
    assert facts == {"llm": {"model": "large"}}


def test_other_events_are_none_of_its_business() -> None:
    listener = Told()
    listener({"event": "step.started"})
    assert (listener.instrument, listener.facts) == ({}, {})
