from datetime import UTC, datetime

import pytest

from harness.results.names import named_at, new_run_id
from harness.results.times import epoch


def test_an_id_says_when_it_was_given() -> None:
    before = datetime.now(UTC).replace(microsecond=0).timestamp()
    stamp = named_at(new_run_id("suite.nightly"))
    assert stamp is not None
    assert before <= epoch(stamp) <= datetime.now(UTC).timestamp()
    assert named_at("20261122T101500Z-ab-function-1f09ab") == "2026-11-22T10:15:00.000000Z"


@pytest.mark.parametrize("name", ["", "mine", "20261122T101500Z", "20261322T101500Z-x", "copy of 20261122T101500Z-x"])
def test_a_name_of_somebody_else_says_nothing(name: str) -> None:
    assert named_at(name) is None
