import pytest

from harness.errors import BenchmarkFailed, ConfigError
from harness.measure.printed import compile_patterns, read_json_lines, read_patterns

DECLARED = {"rate", "loss"}


def test_numbers_are_given_in_the_order_of_printing() -> None:
    text = 'start\n  {"rate": 1, "loss": 2.5}\r\n[1, 2]\n"text"\n{"rate": -3e2}\n{}\n'
    assert read_json_lines(text, DECLARED).values == [("rate", 1.0), ("loss", 2.5), ("rate", -300.0)]


def test_text_under_an_undeclared_name_is_a_label() -> None:
    assert read_json_lines('{"rate": 1, "model": "small", "flags": [1], "fine": true}', DECLARED).values == [
        ("rate", 1.0)
    ]


def test_broken_lines_are_kept_for_the_message_and_cut() -> None:
    found = read_json_lines('{"rate": \n' + "{" + "x" * 1000, DECLARED)
    assert found.values == []
    assert [len(line) for line in found.broken] == [9, 200]


def test_the_group_named_value_wins_over_the_first() -> None:
    patterns = compile_patterns({"rate": r"(\w+): (?P<value>\S+)", "loss": r"loss=(\S+)"}, DECLARED)
    assert read_patterns("step: 3\nloss=0.5", patterns) == [("rate", 3.0), ("loss", 0.5)]


def test_a_group_that_took_no_part_is_no_number() -> None:
    with pytest.raises(BenchmarkFailed, match="finite number"):
        read_patterns("rate", compile_patterns({"rate": r"rate(\d)?"}, DECLARED))


def test_every_wrong_pattern_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_patterns({"rate": "(", "loss": "no group", "speed": "(1)", "command.wall_ms": "(1)"}, DECLARED)
    assert len(caught.value.problems) == 4
