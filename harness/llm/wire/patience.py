"""When waiting for an answer has gone on too long, and when an attempt is made again."""

from harness.llm.schedule import Patience
from harness.llm.wire.failures import seconds_to_wait
from harness.llm.wire.flight import Flight

_RETRIED = (429, 503)


def late(flight: Flight, patience: Patience, now_ns: int) -> str:
    """Which patience with a request that was sent has ended, in words; empty while none has."""
    sent_ns = flight.exchange.sent_ns
    if now_ns - sent_ns > patience.total_s * 1e9:
        return f"not complete within {patience.total_s:g} s"
    if not flight.begun:
        ended = now_ns - sent_ns > patience.first_byte_s * 1e9
        return f"no answer within {patience.first_byte_s:g} s" if ended else ""
    ended = now_ns - flight.reads[-1][1] > patience.silence_s * 1e9
    return f"silent for {patience.silence_s:g} s in the middle of the answer" if ended else ""


def wait_before_again(flight: Flight, patience: Patience) -> float | None:
    """Seconds until the next attempt; None when the outcome, or the patience, ends it here.

    Only what surely did no work is tried again: a refused connection, and an answer that asks to come back.
    """
    attempt = flight.exchange.attempt
    if attempt >= patience.attempts:
        return None
    backoff_s = patience.backoff_s * 2.0 ** (attempt - 1)
    if flight.failure is not None:
        return backoff_s if flight.failure.reason == "refused" else None
    if flight.head is None or flight.head.status not in _RETRIED:
        return None
    asked_s = seconds_to_wait(flight.head.retry_after)
    return backoff_s if asked_s is None else asked_s
