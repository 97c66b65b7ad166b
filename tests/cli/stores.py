"""A store in a folder of the test, in which the verbs look."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.results.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store that every verb of the test reads and writes; baselines are those of an empty folder."""
    monkeypatch.setenv("HARNESS_OUTPUTS", str(tmp_path / "outputs"))
    (tmp_path / "baselines").mkdir()
    monkeypatch.chdir(tmp_path)
    found = Store(tmp_path / "outputs")
    yield found
    found.close()
