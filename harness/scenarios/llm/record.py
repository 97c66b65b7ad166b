"""Keeps what came of a load: samples, one event for each failure, and a line for each request in `requests.jsonl`."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from harness.llm import latency
from harness.llm.exchange import Exchange
from harness.llm.metrics import Answered, samples_of, totals
from harness.llm.slo import Slo
from harness.runner import Context

Keep = Literal["nothing", "timings", "texts"]

FILE = "requests.jsonl"
SCHEMA = "harness.request/1"
_MOST_TOLD = 20  # failures of one load that become events of their own; the rest is counted


class Recorder:
    """Records the loads of one run."""

    def __init__(self, keep: Keep) -> None:
        """`keep`: nothing, timings, or texts too, of each request, in the run's folder."""
        self._keep = keep

    def record(self, context: Context, answered: Answered, slo: Slo | None = None) -> dict[str, float]:
        """Adds all samples of a load and gives its totals, which are recorded too."""
        for exchange in answered.final:
            for metric, value in samples_of(exchange):
                context.record(metric, value)
            if exchange.ok:
                context.fingerprint(exchange.text.encode())
        found = totals(answered, slo)
        for metric, value in found.items():
            context.record(metric, value)
        self._tell_failures(context, answered)
        self._append(context, answered)
        return found

    def note(self, context: Context, answered: Answered) -> None:
        """Keeps the lines and failures of requests that belong to no statistic of their own."""
        self._tell_failures(context, answered)
        self._append(context, answered)

    def _tell_failures(self, context: Context, answered: Answered) -> None:
        failed = [exchange for exchange in answered.exchanges if exchange.failure is not None]
        for exchange in failed[:_MOST_TOLD]:
            assert exchange.failure is not None
            context.event(
                "llm.request.failed",
                index=exchange.index,
                tag=exchange.request.tag,
                attempt=exchange.attempt,
                reason=exchange.failure.reason,
                status=exchange.status,
                message=context.redact(exchange.failure.message),
                pieces=len(exchange.pieces),
            )
        if len(failed) > _MOST_TOLD:
            context.event("llm.requests.failures_not_told", level="warning", count=len(failed) - _MOST_TOLD)

    def _append(self, context: Context, answered: Answered) -> None:
        if self._keep == "nothing":
            return
        lines = []
        for exchange in answered.exchanges:
            line = {"schema": SCHEMA, "phase": context.phase.name.lower(), "iteration": context.iteration}
            line |= line_of(exchange)
            if exchange.failure is not None:  # servers repeat in their errors what they were sent
                message = context.redact(exchange.failure.message)
                line["failure"] = exchange.failure._replace(message=message)._asdict()
            if self._keep == "texts":
                line |= {"prompt": context.redact(exchange.request.text), "answer": context.redact(exchange.text)}
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        with (context.folder / FILE).open("a", encoding="utf-8") as file:
            file.writelines(lines)


def line_of(exchange: Exchange) -> Mapping[str, Any]:
    """One exchange in short: its clocks in milliseconds from the intended start, its tokens, how it ended."""
    since = exchange.intended_ns

    def ms(at_ns: int) -> float | None:
        return (at_ns - since) / 1e6 if at_ns else None

    return {
        "index": exchange.index,
        "tag": exchange.request.tag,
        "attempt": exchange.attempt,
        "intended_ns": since,
        "sent_ms": ms(exchange.sent_ns),
        "first_ms": latency.first_ms(exchange, since),
        "ended_ms": ms(exchange.ended_ns),
        "pieces": len(exchange.pieces),
        "usage": exchange.usage._asdict() if exchange.usage else None,
        "server": exchange.server._asdict() if exchange.server else None,
        "finish_reason": exchange.finish_reason,
        "stamped": exchange.stamped,
        "failure": exchange.failure._asdict() if exchange.failure else None,
    }
