"""Requests, clients and patience for tests of the wire."""

from collections.abc import Sequence
from typing import Any

from harness.llm.exchange import Exchange
from harness.llm.request import Endpoint, Message, Request, Sampling
from harness.llm.schedule import Closed, Patience, Schedule
from harness.llm.wire.body import encode
from harness.llm.wire.client import HttpClient
from harness.llm.wire.target import Target

PATIENT = Patience(connect_s=20.0, first_byte_s=60.0, silence_s=60.0, total_s=110.0)


def asks(
    key: int = 0, tokens: int = 5, *, stream: bool = True, endpoint: Endpoint = "chat", words: int = 3, **extra: Any
) -> Request:
    """A request that the truth server logs under this key."""
    sampling = Sampling(temperature=0.0, seed=7, max_tokens=tokens, top_p=1.0)
    messages = (Message("user", " ".join(f"w{n}" for n in range(words))),)
    return Request(
        messages=messages, sampling=sampling, endpoint=endpoint, stream=stream, extra={"truth_key": key, **extra}
    )


def exchanged(
    url: str,
    requests: Sequence[Request],
    schedule: Schedule | None = None,
    patience: Patience = PATIENT,
    **options: Any,
) -> list[Exchange]:
    """What came of the requests, by one user unless a schedule says otherwise."""
    client = HttpClient(Target.of(url), **options)
    try:
        calls = [(request, *encode(request, "truth")) for request in requests]
        return client.exchange(calls, schedule or Closed((0,)), patience)
    finally:
        client.close()
