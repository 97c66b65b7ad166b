import pytest

from harness.gates.levels import Level, worst


@pytest.mark.parametrize(
    ("levels", "whole"),
    [(["pass", "none"], "pass"), (["warn", "pass"], "warn"), (["warn", "inconclusive"], "inconclusive")],
)
def test_the_worst_level_is_that_of_the_whole(levels: list[Level], whole: Level) -> None:
    assert worst(levels) == whole
    assert worst([*levels, "fail"]) == "fail"


def test_nothing_is_the_worst_of_nothing() -> None:
    assert worst([]) == "none"
