"""`selftest noise`: what no change looks like here."""

from pathlib import Path

import pytest

from tests.cli.test_ab import CONF, report
from tests.command_line import CommandLine


@pytest.fixture
def user(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "outputs", CONF)


def test_the_noise_of_a_scenario_is_told_and_kept(user: CommandLine) -> None:
    done = user.verb("selftest", "noise", *user.words("--pairs", "8", "--rounds", "10"))
    assert done.returncode == 0, done.stderr
    assert "Two processes of the same code differ by" in done.stdout
    assert "False alarms" in done.stdout
    found = report(user)
    assert found["kind"] == "noise"
    assert found["scenario"] == "function"
    assert found["noise"]["pairs"] == len(found["pairs"]) == 8
    assert found["noise"]["between_pairs"] > 0
    assert found["differences"] == []


def test_counted_work_has_no_noise(user: CommandLine) -> None:
    words = user.words("scenario=counted_units", "--metric", "test.units", "--pairs", "8", "--rounds", "5")
    assert user.verb("selftest", "noise", *words).returncode == 0
    noise = report(user)["noise"]
    assert (noise["between_pairs"], noise["false_alarms"], noise["bias"]["estimate"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("words", "says"), [([], "there is no self-test ''"), (["nose"], "'nose'"), (["noise", "A=seed=1"], "no A and B")]
)
def test_mistakes_are_refused(user: CommandLine, words: list[str], says: str) -> None:
    done = user.verb("selftest", *words)
    assert done.returncode == 2
    assert says in done.stderr
