"""Makes requests: from asks of one's own or to an exact length, no two beginning alike unless that is wanted."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any
from zlib import crc32

from harness.errors import BenchmarkFailed
from harness.llm.ask import Ask, user_says
from harness.llm.exact_length import Fitter
from harness.llm.prompts import Generated, Prompts
from harness.llm.request import Endpoint, Message, Request, Sampling
from harness.ranges import Range

_HEAD_WORDS = 3  # some nine million beginnings


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How everything is asked, unless a prompt or a level says otherwise."""

    prompt_tokens: Annotated[int, Range(min=1)] | None
    max_tokens: Annotated[int, Range(min=1)]
    ignore_eos: bool
    temperature: Annotated[float, Range(min=0)]
    top_p: Annotated[float, Range(above=0, max=1)]
    stream: bool
    endpoint: Endpoint
    prefix_cache: bool
    extra: dict[str, Any]


class Workload:
    """A source of requests for one run."""

    def __init__(
        self,
        prompts: Prompts,
        asking: Asking,
        count_tokens: Callable[[str], int | None],
        *,
        seed: int,
        salt: str,
        tell_inexact: Callable[[int, int], None],
    ) -> None:
        """`salt` tells runs of the same seed apart, so that a server that outlives them has not seen the prompts.

        `tell_inexact` is called with the tokens asked for and those made, when the tokenizer does not confirm a length.
        """
        self.asking = asking
        self._prompts = prompts
        self._fitter = Fitter(count_tokens)
        self._seed, self._salt = seed, salt
        self._tell_inexact = tell_inexact
        self._asks = prompts.asks() if asking.prompt_tokens is None else []
        self._made = 0
        self.overhead_tokens = 0  # what the template adds to a text; found by asking once
        if asking.prompt_tokens is None and not self._asks:
            raise BenchmarkFailed(
                "these prompts have no length of their own and none was asked for",
                "set scenario.ask.prompt_tokens=64, or use prompts=folder with texts of your own",
            )

    def requests(self, count: int, tag: str = "") -> list[Request]:
        """So many requests, of the prompts as they are or of the length asked for."""
        return [self.request(tag=tag) for _ in range(count)]

    def of(self, asks: list[Ask]) -> list[Request]:
        """One request for each ask."""
        return [self._asked(ask) for ask in asks]

    def alike(self, number: int, *, prompt_tokens: int, max_tokens: int) -> Request:
        """A request of this length that begins as all others of the same number do, and may use the prefix cache."""
        source = random.Random(crc32(f"{self._seed}/{self._salt}/alike {number}".encode()))
        ask = Ask(messages=self._cut(prompt_tokens, source), max_tokens=max_tokens, tag=str(prompt_tokens))
        return self._asked(ask, prefix_cache=True)

    def of_text(self, text: str, **changes: Any) -> Request:
        """A request with exactly this text."""
        return self._asked(Ask(messages=user_says(text)), **{"prefix_cache": True, **changes})

    def request(
        self, *, prompt_tokens: int | None = None, max_tokens: int | None = None, tag: str = "", **changes: Any
    ) -> Request:
        """The next request; `changes` are fields of `Asking` that differ for this one."""
        tokens = prompt_tokens or self.asking.prompt_tokens
        if tokens is None:
            ask = self._asks[self._made % len(self._asks)]
            return self._asked(ask, max_tokens=max_tokens, tag=tag, **changes)
        return self._asked(Ask(prompt_tokens=tokens, max_tokens=max_tokens, tag=tag), **changes)

    def _asked(self, ask: Ask, *, max_tokens: int | None = None, tag: str = "", **changes: Any) -> Request:
        asking = replace(self.asking, **changes)
        self._made += 1
        source = random.Random(crc32(f"{self._seed}/{self._salt}/{self._made}".encode()))
        messages = self._cut(ask.prompt_tokens, source) if ask.messages is None else ask.messages
        if ask.messages is not None and not asking.prefix_cache:
            messages = _with_head(messages, _head(source))
        return Request(
            messages=messages,
            sampling=Sampling(
                temperature=asking.temperature,
                seed=self._seed,
                max_tokens=ask.max_tokens or max_tokens or asking.max_tokens,
                top_p=asking.top_p,
            ),
            endpoint=asking.endpoint,
            stream=asking.stream,
            tag=tag or ask.tag,
            extra=extra_of(asking),
        )

    def _cut(self, prompt_tokens: int | None, source: random.Random) -> tuple[Message, ...]:
        """A prompt of exactly so many tokens, the template's own included."""
        wanted = (prompt_tokens or 0) - self.overhead_tokens
        fitted = self._fitter.fit(_head(source), self._prompts.words(source.getrandbits(32)), wanted)
        if fitted.tokens > wanted:
            least = fitted.tokens + self.overhead_tokens
            raise BenchmarkFailed(
                f"a prompt of {prompt_tokens} tokens cannot be made: the chat template takes {self.overhead_tokens}, "
                f"and the beginning that no other prompt shares {fitted.tokens}",
                f"ask for {least} or more, or set scenario.ask.endpoint=completions, which has no template",
            )
        if not fitted.exact:
            self._tell_inexact(prompt_tokens or 0, fitted.tokens + self.overhead_tokens)
        return user_says(fitted.text)


def extra_of(asking: Asking) -> Mapping[str, Any]:
    """What goes to the server beside the standard fields: llama.cpp and its kin read them, others pass them over."""
    own: dict[str, Any] = {"cache_prompt": asking.prefix_cache}
    if asking.ignore_eos:
        own["ignore_eos"] = True
    return {**own, **asking.extra}


def _head(source: random.Random) -> str:
    words = Generated().words(source.getrandbits(32))
    return " ".join(next(words) for _ in range(_HEAD_WORDS)).capitalize()


def _with_head(messages: tuple[Message, ...], head: str) -> tuple[Message, ...]:
    first = messages[0]
    return (Message(first.role, f"{head}. {first.content}"), *messages[1:])
