"""One thing to ask, before it is a request: a text or only its length, and how long the answer may be."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BenchmarkFailed
from harness.llm.request import Message

_KEYS = ("prompt", "messages", "prompt_tokens", "max_tokens", "tag", "at_s")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What one line of a workload says; None where it leaves the choice to the scenario."""

    messages: tuple[Message, ...] | None = None
    prompt_tokens: int | None = None
    max_tokens: int | None = None
    tag: str = ""
    at_s: float | None = None  # when, in a trace

    @property
    def text(self) -> str:
        """All that is asked, as one text; empty where only a length is given."""
        return "\n".join(message.content for message in self.messages or ())


def user_says(text: str) -> tuple[Message, ...]:
    """A conversation of one turn."""
    return (Message("user", text),)


def read_lines(path: Path, *, timed: bool = False) -> list[Ask]:
    """The asks of a JSONL file: one object a line, with prompt, messages or prompt_tokens.

    Raises:
        BenchmarkFailed: the file cannot be read, or a line says nothing that can be asked; names the line.
    """
    found = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            found.append(_Line(f"{path}:{number}", line).read(timed=timed))
    if not found:
        raise BenchmarkFailed(f"{path} holds no line", 'write one object a line, such as {"prompt": "What is 2 + 2?"}')
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkFailed(f"cannot read {path}: {error}", "relative paths count from the current folder") from error


@dataclass(frozen=True)
class _Line:
    place: str
    content: str

    def read(self, *, timed: bool) -> Ask:
        try:
            node = json.loads(self.content)
        except ValueError as error:
            raise self._wrong(f"is no JSON: {error}") from error
        if not isinstance(node, dict):
            raise self._wrong(f"should be an object, found {node!r}")
        unknown = [key for key in node if key not in _KEYS]
        if unknown:
            raise self._wrong(f"has the unknown key {unknown[0]!r}; the keys are {', '.join(_KEYS)}")
        ask = Ask(
            messages=self._messages(node),
            prompt_tokens=self._count(node, "prompt_tokens"),
            max_tokens=self._count(node, "max_tokens"),
            tag=str(node.get("tag", "")),
            at_s=self._time(node) if timed else None,
        )
        if ask.messages is None and ask.prompt_tokens is None:
            raise self._wrong("says nothing to ask: give prompt, messages or prompt_tokens")
        return ask

    def _messages(self, node: dict[str, Any]) -> tuple[Message, ...] | None:
        if "prompt" in node and "messages" in node:
            raise self._wrong("gives prompt and messages; one of them is enough")
        if "prompt" in node:
            if not isinstance(node["prompt"], str) or not node["prompt"]:
                raise self._wrong(f"prompt should be text, found {node['prompt']!r}")
            return user_says(node["prompt"])
        if "messages" not in node:
            return None
        turns = node["messages"]
        if not isinstance(turns, list) or not turns or not all(_is_turn(turn) for turn in turns):
            raise self._wrong('messages should be a list such as [{"role": "user", "content": "Hello"}]')
        return tuple(Message(turn["role"], turn["content"]) for turn in turns)

    def _count(self, node: dict[str, Any], key: str) -> int | None:
        value = node.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise self._wrong(f"{key} should be a whole number from 1 up, found {value!r}")

    def _time(self, node: dict[str, Any]) -> float:
        value = node.get("at_s")
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
            return float(value)
        raise self._wrong(f"at_s should say when, in seconds from the start, found {value!r}")

    def _wrong(self, what: str) -> BenchmarkFailed:
        return BenchmarkFailed(f"{self.place}: {what}")


def _is_turn(node: object) -> bool:
    return isinstance(node, dict) and isinstance(node.get("role"), str) and isinstance(node.get("content"), str)
