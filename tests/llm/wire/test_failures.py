import json
from typing import Any

import pytest

from harness.llm.wire.failures import from_error, refusal, seconds_to_wait

OVERFLOWS: list[tuple[int, dict[str, Any]]] = [
    (
        400,
        {
            "error": {
                "code": 400,
                "message": "request (5012 tokens) exceeds the available context size (2048 tokens)",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 5012,
                "n_ctx": 2048,
            }
        },
    ),
    (400, {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}),
    (400, {"object": "error", "message": "This model's maximum context length is 2048 tokens.", "code": 400}),
    (400, {"error": {"message": "The prompt is too long to fit into the model (context length 4096)."}}),
    (400, {"error": {"message": "The decoder prompt is longer than the maximum model length of 2048."}}),
    (400, {"error": {"message": "the input length exceeds the context length"}}),
    (400, {"error": "Trying to keep the first 9 tokens when context the overflows. However, the model"}),
    (400, {"error": "Context size has been exceeded"}),
]


@pytest.mark.parametrize(("status", "body"), OVERFLOWS)
def test_every_servers_words_for_a_prompt_that_does_not_fit(status: int, body: dict[str, Any]) -> None:
    assert refusal(status, json.dumps(body).encode()).reason == "context_overflow"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, {"error": {"message": "slow down"}}, "busy"),
        (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, "loading"),
        (503, {}, "loading"),
        (500, {"error": {"message": "model is loading"}}, "loading"),
        (500, {"error": {"message": "boom"}}, "server_error"),
        (502, None, "server_error"),
        (500, {"error": {"message": "failed to allocate buffer of size 12"}}, "out_of_memory"),
        (500, {"error": {"message": "model requires more system memory (9 GiB) than is available"}}, "out_of_memory"),
        (404, {"error": {"message": "no such model"}}, "client_error"),
        (301, None, "client_error"),
    ],
)
def test_a_status_and_its_words_give_a_reason(status: int, body: Any, reason: str) -> None:
    failure = refusal(status, b"" if body is None else json.dumps(body).encode())
    assert failure.reason == reason
    assert f"HTTP {status}" in failure.message


def test_a_refusal_that_is_no_json_is_shown_as_it_is() -> None:
    assert refusal(502, b"<html>Bad Gateway</html>").message == "HTTP 502: <html>Bad Gateway</html>"


def test_a_missing_key_is_named_where_the_server_asks_for_one() -> None:
    assert "MY_KEY is not set" in refusal(401, b"{}", missing_key="MY_KEY").message
    assert "MY_KEY" not in refusal(403, b"{}", missing_key="MY_KEY").message


def test_an_error_inside_a_stream_has_its_own_code() -> None:
    assert from_error({"code": 503, "message": "x"}).reason == "loading"
    assert from_error({"code": "context_length_exceeded", "message": "x"}).reason == "context_overflow"
    assert from_error("boom").reason == "server_error"


@pytest.mark.parametrize(
    ("said", "seconds"), [("2", 2.0), ("0.5", 0.5), (None, None), ("Wed, 21 Oct", None), ("-1", None), ("inf", None)]
)
def test_retry_after_in_seconds(said: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(said) == seconds
