"""Each kind of server is asked in its own words; what it does not say stays unknown."""

from typing import Any

import pytest

from harness.llm.engines import probe
from harness.llm.engines.probe import Kind
from harness.llm.engines.side_calls import SideCalls
from harness.llm.wire.target import Target
from tests.llm.scripted import answer, serving

PROPS = {
    "default_generation_settings": {"n_ctx": 2048},
    "total_slots": 4,
    "model_path": "/models/m.gguf",
    "model_ftype": "Q4_1",
    "build_info": "b5000-abc",
}
DIGEST = "a" * 64
OLLAMA: dict[str, Any] = {
    "/api/version": {"version": "0.12.3"},
    "/api/tags": {"models": [{"name": "qwen3:4b", "model": "qwen3:4b", "digest": f"sha256:{DIGEST}", "size": 2500}]},
    "/api/ps": {"models": [{"name": "qwen3:4b", "model": "qwen3:4b", "context_length": 4096}]},
}
SHOWN = {
    "details": {"quantization_level": "Q4_K_M", "family": "qwen3", "parameter_size": "4.0B"},
    "model_info": {"qwen3.context_length": 40960},
}
STUDIO_MODEL = {
    "id": "q",
    "arch": "qwen2",
    "quantization": "4bit",
    "max_context_length": 32768,
    "loaded_context_length": 8192,
}
VLLM_MODEL = {"id": "q", "root": "Qwen/Qwen3-4B", "max_model_len": 8192}


def look(kind: Kind, model: str, pages: dict[str, Any], posts: dict[str, Any] | None = None) -> probe.Findings:
    with serving(pages=pages, posts=posts or {}) as server:
        return probe.look(kind, SideCalls(Target.of(server.url)), model)


@pytest.mark.parametrize("kind", ["auto", "llama_cpp"])
def test_llama_cpp_tells_context_slots_and_its_file(kind: Kind) -> None:
    found = look(kind, "m", {"/props": PROPS})
    assert (found.engine, found.version, found.context_tokens) == ("llama_cpp", "b5000-abc", 2048)
    assert found.model_path == "/models/m.gguf"
    assert found.settings == {"slots": 4, "quantisation": "Q4_1"}


@pytest.mark.parametrize("kind", ["auto", "ollama"])
def test_ollama_tells_version_digest_and_the_context_it_has_loaded(kind: Kind) -> None:
    found = look(kind, "qwen3:4b", OLLAMA, {"/api/show": SHOWN})
    assert (found.engine, found.version, found.context_tokens) == ("ollama", "0.12.3", 4096)
    assert (found.model_digest, found.model_bytes) == (DIGEST, 2500)
    assert found.settings["quantisation"] == "Q4_K_M"
    assert found.settings["trained_context_tokens"] == 40960


def test_ollama_without_a_loaded_model_does_not_pass_the_trained_context_off_as_the_used_one() -> None:
    found = look("ollama", "qwen3:4b", {**OLLAMA, "/api/ps": {"models": []}}, {"/api/show": SHOWN})
    assert found.context_tokens is None


@pytest.mark.parametrize("kind", ["auto", "lm_studio"])
def test_lm_studio_tells_quantisation_and_context(kind: Kind) -> None:
    found = look(kind, "q", {"/api/v0/models": {"data": [STUDIO_MODEL]}})
    assert (found.engine, found.context_tokens) == ("lm_studio", 8192)
    assert found.settings == {"quantisation": "4bit", "architecture": "qwen2", "trained_context_tokens": 32768}


@pytest.mark.parametrize("kind", ["auto", "vllm"])
def test_vllm_tells_version_and_context(kind: Kind) -> None:
    found = look(kind, "q", {"/version": {"version": "0.11.0"}, "/v1/models": {"data": [VLLM_MODEL]}})
    assert (found.engine, found.version, found.context_tokens) == ("vllm", "0.11.0", 8192)


def test_a_server_that_says_nothing_leaves_everything_unknown() -> None:
    found = look("auto", "q", {})
    assert (found.engine, found.version, found.context_tokens, found.model_digest) == ("openai", None, None, None)


@pytest.mark.parametrize("nonsense", [[], "text", 7, {"models": "no list"}, {"data": [1, 2]}, None])
def test_answers_of_another_shape_are_passed_over(nonsense: Any) -> None:
    paths = ["/props", "/api/version", "/api/v0/models", "/version", "/v1/models"]
    assert look("auto", "q", {path: answer(nonsense) for path in paths}).context_tokens is None


def test_tokens_are_counted_in_the_words_of_each_server() -> None:
    with serving(posts={"/tokenize": {"tokens": [5, 6, 7], "count": 3}}) as server:
        calls = SideCalls(Target.of(server.url))
        assert probe.count_tokens(calls, "llama_cpp", "m", "a b c") == 3
        assert probe.count_tokens(calls, "vllm", "m", "a b c") == 3
        assert probe.count_tokens(calls, None, "m", "a b c") is None
    assert probe.count_tokens(calls, "llama_cpp", "m", "the server is gone") is None
