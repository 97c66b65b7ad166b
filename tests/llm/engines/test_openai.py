"""A server that runs already is found, waited for, asked what it is, and refused with a reason where it will not do."""

import os
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Cancelled, ConfigError
from harness.llm.engine import EngineFailed
from harness.llm.server_usage import usage_of
from tests.llm.engines.asking import ONE_USER, engine, patience, reasons, request
from tests.llm.scripted import MODELS, answer, say, serving
from tests.scenarios.contexts import Hand, by_hand


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return by_hand(tmp_path)


def models(*names: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name} for name in names]}


def test_the_only_model_is_chosen_and_named_in_each_request(hand: Hand) -> None:
    with serving() as server:
        asked = engine(server.url)
        served = asked.start(hand.context)
        asked.exchange([request("What?", tokens=5, cache_prompt=False)], ONE_USER, patience(), hand.context)
        asked.close()
    assert (served.engine, served.model, served.model_digest, served.load_ms) == ("openai", "scripted", None, None)
    (body,) = server.bodies
    assert body["model"] == "scripted"
    assert (body["max_tokens"], body["cache_prompt"], body["stream"]) == (5, False, True)


@pytest.mark.parametrize(("endpoint", "stream"), [("chat", False), ("completions", False)])
def test_answers_that_are_no_streams_are_read_too(hand: Hand, endpoint: Any, stream: bool) -> None:
    choice = {"message": {"content": "all at once"}} if endpoint == "chat" else {"text": "all at once"}
    whole = {
        "choices": [{**choice, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 3},
    }
    with serving(say(answer(whole))) as server:
        asked = engine(server.url)
        asked.start(hand.context)
        wanted = request(stream=stream, endpoint=endpoint)
        (exchange,) = asked.exchange([wanted], ONE_USER, patience(), hand.context)
        asked.close()
    assert exchange.text == "all at once"
    assert exchange.usage is not None
    assert exchange.usage.output == 3
    assert server.asked[-1] == ("/v1/chat/completions" if endpoint == "chat" else "/v1/completions")


def test_a_server_that_listens_before_it_has_loaded_is_waited_for(hand: Hand) -> None:
    """Trap: llama.cpp accepts connections, and lists its model, while that is still being read."""
    healths = iter([answer({"error": {"message": "Loading model"}}, 503)] * 3 + [answer({"status": "ok"})] * 9)
    with serving(pages={"/health": lambda: next(healths)}) as server:
        engine(server.url).start(hand.context)
    assert server.asked.count("/health") == 4


def test_a_model_list_that_says_503_is_waited_for_too(hand: Hand) -> None:
    pages = iter([answer({"error": "loading"}, 503), answer(MODELS), answer(MODELS), answer(MODELS)])
    with serving(pages={"/v1/models": lambda: next(pages)}) as server:
        assert engine(server.url, server="vllm").start(hand.context).model == "scripted"


def test_loading_without_end_is_given_up_and_a_cancel_comes_first(hand: Hand) -> None:
    with serving(pages={"/health": answer({}, 503)}) as server:
        with pytest.raises(EngineFailed, match="still loading after") as caught:
            engine(server.url, ready_s=0.1).start(hand.context)
        assert caught.value.reason == "loading"
        hand.cancel()
        with pytest.raises(Cancelled):
            engine(server.url, ready_s=60).start(hand.context)


def test_nobody_there_says_how_to_start_it(hand: Hand) -> None:
    with serving() as server:
        pass
    with pytest.raises(EngineFailed, match=r"no answer from http://127\.0\.0\.1") as caught:
        engine(server.url, server="ollama").start(hand.context)
    assert caught.value.reason == "refused"
    assert "ollama serve" in caught.value.hint


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (answer({}, 401), "wants a key"),
        (answer({"error": "boom"}, 500), "HTTP 500"),
        (answer(b"<html>router</html>", kind="text/html"), "is no JSON"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no answer"),
    ],
    ids=["key", "broken", "another program", "no HTTP"],
)
def test_what_is_no_usable_server_is_refused_with_the_reason(hand: Hand, page: bytes, message: str) -> None:
    with serving(pages={"/v1/models": page}) as server, pytest.raises(EngineFailed, match=message):
        engine(server.url).start(hand.context)


def test_the_key_is_taken_from_the_variable_and_shown_nowhere(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_KEY", "sk-planted-12345")
    with serving() as server:
        asked = engine(server.url, api_key_env="PLANTED_KEY")
        served = asked.start(hand.context)
        asked.exchange([request()], ONE_USER, patience(), hand.context)
        asked.close()
    assert all(b"Authorization: Bearer sk-planted-12345" in head for head in server.heads)
    assert "planted-12345" not in repr(served)
    assert "planted-12345" not in repr(asked.target)


def test_a_missing_key_is_named(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANTED_KEY", raising=False)
    with serving(pages={"/v1/models": answer({}, 401)}) as server, pytest.raises(EngineFailed) as caught:
        engine(server.url, api_key_env="PLANTED_KEY").start(hand.context)
    assert "PLANTED_KEY" in caught.value.hint


def test_a_key_in_the_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="user or password"):
        engine("http://me:secret@127.0.0.1/v1")


def test_several_models_must_be_chosen_from_and_a_wrong_name_gets_a_suggestion(hand: Hand) -> None:
    with serving(pages={"/v1/models": models("llama3.2:latest", "qwen3:4b")}) as server:
        with pytest.raises(EngineFailed, match="which model") as caught:
            engine(server.url).start(hand.context)
        assert "llm.model" in caught.value.hint
        with pytest.raises(EngineFailed, match="no model 'qwen3:8b'") as caught:
            engine(server.url, model="qwen3:8b").start(hand.context)
        assert "'qwen3:4b'" in caught.value.hint
        assert engine(server.url, model="llama3.2").start(hand.context).model == "llama3.2:latest"


def test_a_server_without_a_list_of_models_takes_the_name_as_it_is(hand: Hand) -> None:
    with serving(pages={"/v1/models": answer({}, 404)}) as server:
        assert engine(server.url, model="mine").start(hand.context).model == "mine"


def test_a_local_server_is_found_by_its_port_and_its_processes_can_be_watched(hand: Hand) -> None:
    with serving() as server:
        served = engine(server.url).start(hand.context)
    assert served.pid == os.getpid()  # the scripted server is a thread of this process


def test_a_remote_server_has_no_process_here_and_its_use_is_unavailable_with_a_reason(hand: Hand) -> None:
    """Trap: the client's own memory would be a number too, and a wrong one."""
    with serving() as server:
        asked = engine(server.url)
        served = asked.start(hand.context)
    remote = served.__class__(**{**vars(served), "pid": None, "settings": {"pid_unknown": "not-on-this-host: far"}})
    watch = usage_of(remote, os.getpid())
    watch.begin()
    usage = watch.finish()
    assert (usage.cpu_s, usage.rss_peak_mb, usage.rss_mean_mb) == (None, None, None)
    assert usage.reason == "not-on-this-host: far"


def test_what_was_not_started_here_stays_as_it_was_found(hand: Hand) -> None:
    with serving() as server:
        found = engine(server.url)
        with pytest.raises(EngineFailed, match="was not started"):
            found.revive(hand.context)
        assert found.start(hand.context) is found.revive(hand.context)


def test_an_engine_that_was_not_started_says_so(hand: Hand) -> None:
    with serving() as server, pytest.raises(EngineFailed, match="not started"):
        engine(server.url).exchange([request()], ONE_USER, patience(), hand.context)


def test_the_environments_proxy_is_not_used(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving() as server:
        asked = engine(server.url)
        asked.start(hand.context)
        assert reasons(asked.exchange([request()], ONE_USER, patience(), hand.context)) == [None]
        asked.close()
