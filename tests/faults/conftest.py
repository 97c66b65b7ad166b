"""The user of these tests: own scenarios, own output folder."""

from pathlib import Path

import pytest

from tests.command_line import CommandLine


@pytest.fixture
def user(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "outputs", Path(__file__).parent / "conf")
