"""What is asked of a model, in the words of the OpenAI-compatible interface and independent of any engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

from harness.ranges import Range

Endpoint = Literal["chat", "completions"]


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the answer is drawn. A temperature of 0 takes the likeliest token, so that two runs give the same text."""

    temperature: Annotated[float, Range(min=0)]
    seed: int | None
    max_tokens: Annotated[int, Range(min=1)]
    top_p: Annotated[float, Range(above=0, max=1)]
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question; `extra` is passed on to the server as it is (`cache_prompt`, `ignore_eos`, `tools`, …)."""

    messages: tuple[Message, ...]  # for `completions` the contents are joined into one text
    sampling: Sampling
    endpoint: Endpoint = "chat"
    stream: bool = True
    tag: str = ""  # what the workload calls it, such as "small"; results are told apart by it
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All that is asked, as one text."""
        return "\n".join(message.content for message in self.messages)
