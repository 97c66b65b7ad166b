import itertools
from pathlib import Path

import pytest

from harness.errors import BenchmarkFailed
from harness.llm.ask import read_lines
from harness.llm.prompts import Files, Generated


def words(source: Generated | Files, seed: int, count: int = 30) -> list[str]:
    return list(itertools.islice(source.words(seed), count))


def test_generated_words_are_those_of_the_seed() -> None:
    assert words(Generated(), 4) == words(Generated(), 4)
    assert words(Generated(), 4) != words(Generated(), 5)
    assert Generated().asks() == []


def test_a_text_file_is_one_prompt(tmp_path: Path) -> None:
    (tmp_path / "why.txt").write_text("Why is the sky blue?\n")
    (ask,) = Files(path=str(tmp_path / "why.txt")).asks()
    assert (ask.text, ask.tag) == ("Why is the sky blue?", "why")


def test_each_text_file_of_a_folder_is_a_prompt_with_its_name_as_tag(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.md").write_text("first")
    (tmp_path / "below" / "c.txt").write_text("third")
    (tmp_path / "notes.pdf").write_text("not a prompt")
    assert [(ask.tag, ask.text) for ask in Files(path=str(tmp_path)).asks()] == [
        ("a", "first"), ("b", "second"), ("c", "third"),
    ]  # fmt: skip


def test_each_line_of_a_jsonl_is_a_prompt(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "one", "max_tokens": 5, "tag": "x"}\n{"prompt_tokens": 40}\n')
    first, second = Files(path=str(path)).asks()
    assert (first.text, first.max_tokens, first.tag) == ("one", 5, "x")
    assert (second.messages, second.prompt_tokens) == (None, 40)


def test_words_of_ones_own_texts_go_round(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("alpha beta gamma")
    found = words(Files(path=str(tmp_path / "p.txt")), 0, 7)
    assert set(found) == {"alpha", "beta", "gamma"}
    assert found[:3] == found[3:6]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "p.jsonl:2: is no JSON"),
        ("[]", "p.jsonl:2: should be an object"),
        ('{"promt": "a"}', "unknown key 'promt'; the keys are prompt"),
        ("{}", "says nothing to ask"),
        ('{"prompt": ""}', "prompt should be text"),
        ('{"prompt": "a", "messages": []}', "one of them is enough"),
        ('{"messages": [{"role": "user"}]}', "messages should be a list"),
        ('{"prompt_tokens": 0}', "prompt_tokens should be a whole number"),
        ('{"prompt": "a", "max_tokens": 1.5}', "max_tokens should be a whole number"),
    ],
)
def test_a_wrong_line_is_named_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "fine"}\n' + line)
    with pytest.raises(BenchmarkFailed, match=message.replace("[", r"\[")):
        read_lines(path)


def test_a_line_of_a_trace_needs_its_time(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "when?"}')
    with pytest.raises(BenchmarkFailed, match="at_s should say when"):
        read_lines(path, timed=True)


@pytest.mark.parametrize("name", ["missing.txt", "missing.jsonl", "empty.txt", "empty.jsonl", "folder"])
def test_what_holds_no_prompt_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BenchmarkFailed):
        Files(path=str(tmp_path / name)).asks()
