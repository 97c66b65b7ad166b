from typing import Any

import pytest

from harness.llm.exchange import ServerTimings, Usage
from harness.llm.wire.chunks import read_chunk


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def test_text_is_a_piece() -> None:
    content = read_chunk(delta(content=" word"))
    assert (content.kind, content.text) == ("text", " word")


@pytest.mark.parametrize(
    "chunk",
    [
        delta(role="assistant", content=None),
        delta(role="assistant", content=""),
        delta(content=""),
        delta(),
        delta(reasoning_content=""),
        delta(tool_calls=[]),
        {"choices": []},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        {},
    ],
)
def test_chunks_without_text_are_no_pieces(chunk: dict[str, Any]) -> None:
    """Trap: llama.cpp's first chunk is a role with `content: null`; counted, it would be the first token."""
    assert read_chunk(chunk).kind is None


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_has_a_kind_of_its_own(name: str) -> None:
    assert read_chunk(delta(**{name: "hm"}))[:2] == ("reasoning", "hm")
    assert read_chunk(delta(**{name: "hm", "content": "so"}))[:2] == ("text", "so")


def test_a_tool_call_is_told_by_its_name_and_its_arguments() -> None:
    named = delta(tool_calls=[{"index": 0, "id": "1", "function": {"name": "add", "arguments": ""}}])
    argued = delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}])
    older = delta(function_call={"name": "add", "arguments": "{}"})
    assert [read_chunk(chunk)[:2] for chunk in (named, argued, older)] == [
        ("tool", "add"),
        ("tool", '{"a":'),
        ("tool", "add{}"),
    ]


def test_a_whole_answer_and_the_completions_endpoint_are_read_alike() -> None:
    whole = read_chunk({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]})
    plain = read_chunk({"choices": [{"text": "yes", "finish_reason": "length"}]})
    assert (whole.kind, whole.text, whole.finish_reason) == ("text", "yes", "stop")
    assert (plain.kind, plain.text, plain.finish_reason) == ("text", "yes", "length")


def test_usage_with_its_details() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert read_chunk({"choices": [], "usage": usage}).usage == Usage(9, 5, "server", 2, 4)
    bare = {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": None}
    assert read_chunk({"choices": [], "usage": bare}).usage == Usage(9, 5, "server")


def test_timings_of_llama_cpp_count_too_and_add_the_cached_part_of_the_prompt() -> None:
    timings = {"cache_n": 6, "prompt_n": 4, "prompt_ms": 12.5, "predicted_n": 3, "predicted_ms": 40.0}
    content = read_chunk({"choices": [], "timings": timings})
    assert content.usage == Usage(10, 3, "server", None, 6)
    assert content.timings == ServerTimings(12.5, 40.0)
    both = read_chunk({"choices": [], "timings": timings, "usage": {"prompt_tokens": 10, "completion_tokens": 3}})
    assert both.usage == Usage(10, 3, "server", None, 6)


def test_a_chunk_says_how_many_tokens_it_holds_by_their_numbers_or_probabilities() -> None:
    numbers = {"choices": [{"delta": {"content": "ab"}, "token_ids": [5, 6]}]}
    chances = {"choices": [{"delta": {"content": "abc"}, "logprobs": {"content": [{}, {}, {}]}}]}
    older = {"choices": [{"text": "ab", "logprobs": {"tokens": ["a", "b"]}}]}
    assert [read_chunk(chunk).tokens for chunk in (numbers, chances, older, delta(content="a"))] == [2, 3, 2, None]


def test_a_running_total_is_given_as_such() -> None:
    chunk = {**delta(content="x"), "usage": {"prompt_tokens": 1, "completion_tokens": 7}}
    assert read_chunk(chunk).so_far == 7


def test_an_error_inside_a_stream_is_its_failure() -> None:
    content = read_chunk({"error": {"message": "CUDA error: out of memory", "code": 500}})
    assert content.kind is None
    assert content.error is not None
    assert content.error.reason == "out_of_memory"
