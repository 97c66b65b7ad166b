"""What one chunk of an answer says: text and of which kind, tokens, usage, timings, its end, or an error.

The same dictionaries come over HTTP and from engines in process, so both read them here.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.llm.exchange import Failure, Kind, ServerTimings, Usage
from harness.llm.wire.failures import from_error


class Content(NamedTuple):
    """A chunk, read. Without a `kind` it is no piece of the answer: it names the role, is empty, or only counts."""

    kind: Kind | None
    text: str
    tokens: int | None = None  # in this chunk, where it says so
    usage: Usage | None = None
    timings: ServerTimings | None = None
    finish_reason: str | None = None
    error: Failure | None = None
    so_far: int | None = None  # output tokens up to and with this chunk, where it says so


_NOTHING: tuple[Kind | None, str] = (None, "")


def read_chunk(chunk: Mapping[str, Any]) -> Content:
    """Reads a chunk of a stream, or a whole answer, of the chat or the completions endpoint; of several choices the
    first counts.

    A chunk with both an answer and reasoning is taken for the answer: it marks the first token of it.
    """
    if chunk.get("error"):
        return Content(None, "", error=from_error(chunk["error"]))
    choices = chunk.get("choices")
    kind, text = _NOTHING
    tokens = finish = None
    if choices:
        choice = choices[0]
        delta = choice.get("delta") or choice.get("message")
        kind, text = _delta(delta) if delta else _plain(choice)
        finish = choice.get("finish_reason")
        if kind is not None:
            tokens = _tokens(choice)
    usage = chunk.get("usage")
    timings = chunk.get("timings")
    if usage is None and timings is None:
        return Content(kind, text, tokens, None, None, finish)
    counted = _usage(usage, timings)
    spoken = _timings(timings) if timings else None
    return Content(kind, text, tokens, counted, spoken, finish, None, counted.output if counted else None)


def _delta(delta: Mapping[str, Any]) -> tuple[Kind | None, str]:
    text = delta.get("content")
    if text:
        return "text", text
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    if reasoning:
        return "reasoning", reasoning
    calls = delta.get("tool_calls")
    if calls:
        spoken = "".join(_call(call.get("function") or {}) for call in calls)
        return ("tool", spoken) if spoken else _NOTHING
    call = delta.get("function_call")  # the form before tools
    return ("tool", _call(call)) if call and _call(call) else _NOTHING


def _call(function: Mapping[str, Any]) -> str:
    return f"{function.get('name') or ''}{function.get('arguments') or ''}"


def _plain(choice: Mapping[str, Any]) -> tuple[Kind | None, str]:
    text = choice.get("text")
    return ("text", text) if text else _NOTHING


def _tokens(choice: Mapping[str, Any]) -> int | None:
    """How many tokens the chunk holds: by their numbers (vLLM) or by an entry of log probabilities for each."""
    numbers = choice.get("token_ids")
    if numbers:
        return len(numbers)
    logprobs = choice.get("logprobs")
    if not logprobs:
        return None
    entries = logprobs.get("content") or logprobs.get("tokens")
    return len(entries) if entries else None


def _usage(usage: Mapping[str, Any] | None, timings: Mapping[str, Any] | None) -> Usage | None:
    """The server's counts; llama.cpp counts in its timings too, the cached part of the prompt apart."""
    cached = timings.get("cache_n") if timings else None
    if usage:
        of_input = usage.get("prompt_tokens_details") or {}
        of_output = usage.get("completion_tokens_details") or {}
        if of_input.get("cached_tokens") is not None:
            cached = of_input["cached_tokens"]
        counts = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
        return Usage(*counts, "server", of_output.get("reasoning_tokens"), cached)
    if timings and timings.get("predicted_n") is not None:
        return Usage((timings.get("prompt_n") or 0) + (cached or 0), timings["predicted_n"], "server", None, cached)
    return None


def _timings(timings: Mapping[str, Any]) -> ServerTimings:
    return ServerTimings(timings.get("prompt_ms"), timings.get("predicted_ms"), timings.get("queue_ms"))
