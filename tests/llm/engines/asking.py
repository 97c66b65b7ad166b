"""Requests, patience and engines as the tests of this folder want them."""

import time
from typing import Any

from harness.llm.engines.openai import OpenAIEngine
from harness.llm.exchange import Exchange
from harness.llm.request import Endpoint, Message, Request, Sampling
from harness.llm.schedule import Closed, Patience
from harness.runner import Context

ONE_USER = Closed((0,))


def request(
    text: str = "Say hi.", tokens: int = 8, stream: bool = True, endpoint: Endpoint = "chat", **extra: Any
) -> Request:
    sampling = Sampling(temperature=0.0, seed=1, max_tokens=tokens, top_p=1.0)
    return Request(messages=(Message("user", text),), sampling=sampling, endpoint=endpoint, stream=stream, extra=extra)


def patience(seconds: float = 30.0, **changed: Any) -> Patience:
    fields = {
        "connect_s": seconds,
        "first_byte_s": seconds,
        "silence_s": seconds,
        "total_s": seconds,
        "backoff_s": 0.01,
    }
    return Patience(**{**fields, **changed})


def engine(url: str, **changed: Any) -> OpenAIEngine:
    knobs: dict[str, Any] = {
        "base_url": url,
        "model": None,
        "api_key_env": None,
        "server": "auto",
        "headers": {},
        "proxy": None,
        "keep_alive": False,
        "kernel_stamps": True,
        "ready_s": 30.0,
    }
    return OpenAIEngine(**{**knobs, **changed})


def usual_s(asked: OpenAIEngine, context: Context) -> float:
    """What one good request takes here and now, from which the deadlines of a test are taken."""
    started = time.monotonic()
    (exchange,) = asked.exchange([request()], ONE_USER, patience(), context)
    assert exchange.ok, exchange.failure
    return time.monotonic() - started


def reasons(exchanges: list[Exchange]) -> list[str | None]:
    return [None if each.failure is None else each.failure.reason for each in exchanges]
