"""What every way to reach a model can do: start or find it, answer requests under a load, say what it is, end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.errors import BenchmarkFailed
from harness.llm.exchange import Exchange, Reason
from harness.llm.request import Request
from harness.llm.schedule import Patience, Schedule
from harness.runner import Context


class EngineFailed(BenchmarkFailed):
    """The model could not be loaded, or its server not be reached."""

    def __init__(self, message: str, hint: str = "", reason: Reason = "server_error") -> None:
        super().__init__(message, hint)
        self.reason = reason

    def __reduce__(self) -> tuple[type["EngineFailed"], tuple[str, str, Reason]]:
        return type(self), (self.message, self.hint, self.reason)


@dataclass(frozen=True)
class Served:
    """What answers: the model, and the settings that its speed depends on. Everything here enters the result."""

    engine: str
    engine_version: str | None
    model: str
    model_digest: str | None  # sha256 of the model file; None where it cannot be seen
    model_bytes: int | None
    context_tokens: int | None
    settings: Mapping[str, Any] = field(default_factory=dict)  # threads, batch, slots, quantisation, …
    pid: int | None = None  # the root of the server's processes; None for one that is not on this machine
    load_ms: float | None = None  # from the start of the process, or of loading, to ready; None where it was running


class Engine(Protocol):
    """One model behind one interface; built from YAML by its `_target_`, started in the worker."""

    def start(self, context: Context) -> Served:
        """Loads the model, or starts or finds its server, and waits until it answers.

        Raises:
            EngineFailed: it does not; says why, and what to do.
        """

    def exchange(
        self, requests: Sequence[Request], schedule: Schedule, patience: Patience, context: Context
    ) -> list[Exchange]:
        """Sends the requests by the schedule and gives what came of each, in the order of the requests.

        A closed loop hands the requests to its users in order. A request that was tried again is there once for each
        attempt. Never raises for a request that failed; what an owned server was at when it ended is `lost`. Ends
        early when `context.cancelled`.
        """

    def count_tokens(self, text: str) -> int | None:
        """How many tokens the model's own tokenizer makes of the text; None where there is none to ask."""

    def revive(self, context: Context) -> Served:
        """What answers now: an owned server that has ended, or hangs, is started again first.

        Raises:
            EngineFailed: nothing was started, or it does not start again.
        """

    def close(self) -> None:
        """Ends what was started here; a second call does nothing."""
