"""A request in the bytes of the OpenAI-compatible interface."""

import json
from typing import Any

from harness.llm.request import Request

PATHS = {"chat": "/chat/completions", "completions": "/completions"}


def encode(request: Request, model: str | None) -> tuple[str, bytes]:
    """The path below the base URL and the JSON body; `extra` has the last word on every field."""
    return PATHS[request.endpoint], json.dumps(fields(request, model), ensure_ascii=False).encode()


def fields(request: Request, model: str | None) -> dict[str, Any]:
    """The body as a dictionary, for engines that take it without HTTP.

    A stream is asked for its usage, without which most servers say nothing of their token counts.
    """
    sampling = request.sampling
    body: dict[str, Any] = {} if model is None else {"model": model}
    if request.endpoint == "chat":
        body["messages"] = [{"role": turn.role, "content": turn.content} for turn in request.messages]
    else:
        body["prompt"] = request.text
    body |= {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature, "top_p": sampling.top_p}
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    body["stream"] = request.stream
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    return body | dict(request.extra)
