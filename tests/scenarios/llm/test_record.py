"""The lines of requests: each fits its schema, says its version, and repeats no secret."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.llm.exchange import Exchange, ServerTimings
from harness.llm.exchange import Usage as Tokens
from harness.llm.metrics import Answered
from harness.llm.server_usage import Usage
from harness.results import schema
from harness.scenarios.llm.record import FILE, Keep, Recorder
from tests.llm.exchanges import an_exchange
from tests.scenarios.contexts import by_hand

SECRET = "planted-secret-value"


def exchanges() -> tuple[Exchange, ...]:
    """Whole and broken ones, with everything that a server may say of them."""
    timings, tokens = ServerTimings(1.5, 20.0, 0.25), Tokens(10, 4, "tokenizer", reasoning=2, cached=3)
    refused = an_exchange((), index=1, failure="refused", counted=False)
    refused.sent_ns = 0
    busy = an_exchange((), index=2, failure="busy", counted=False)
    assert busy.failure is not None
    busy.failure = busy.failure._replace(message=f"api_key {SECRET} has no room left", retry_after_s=1.5)
    whole = an_exchange(index=3, tag="small", server=timings, usage=tokens)
    whole.finish_reason = "stop"
    return an_exchange(stream=False), refused, busy, an_exchange(index=2, attempt=2), whole


def lines_of(folder: Path, keep: Keep) -> list[Any]:
    hand = by_hand(folder)
    hand.context.redact = lambda text: text.replace(SECRET, "[redacted]")
    Recorder(keep).record(hand.context, Answered(exchanges(), Usage(reason="it is elsewhere"), 0.0))
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


@pytest.mark.parametrize("keep", ["timings", "texts"])
def test_every_line_fits_its_schema_and_says_its_version(tmp_path: Path, keep: Keep) -> None:
    lines = lines_of(tmp_path, keep)
    assert [schema.validate(line, "request") for line in lines] == [[]] * len(exchanges())
    assert {line["schema"] for line in lines} == {f"harness.request/{schema.VERSIONS['request']}"}
    assert {"prompt" in line for line in lines} == {keep == "texts"}
    assert schema.upgraded(lines[0], "request", FILE) == lines[0]


def test_a_line_with_a_field_too_many_or_too_few_does_not_fit(tmp_path: Path) -> None:
    line = lines_of(tmp_path, "timings")[0]
    assert schema.validate({**line, "answer": "without its prompt"}, "request") != []
    assert schema.validate({**line, "more": 1}, "request") != []
    for name in line:
        assert schema.validate({key: value for key, value in line.items() if key != name}, "request") != []


def test_a_secret_that_a_server_repeats_in_its_error_is_not_kept(tmp_path: Path) -> None:
    failures = [line["failure"] for line in lines_of(tmp_path, "timings")]
    assert failures[2] == {"reason": "busy", "message": "api_key [redacted] has no room left", "retry_after_s": 1.5}
