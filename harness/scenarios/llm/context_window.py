"""The longest prompt that a server answers, found to one token, and whether it says so when one is too long."""

from collections.abc import Mapping
from typing import Annotated

from harness.errors import BenchmarkFailed, Cancelled
from harness.llm.engine import Engine
from harness.llm.exchange import Exchange
from harness.llm.limit import longest
from harness.llm.prompts import Prompts
from harness.llm.schedule import Patience
from harness.llm.workload import Asking
from harness.ranges import Range
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import ONE_USER, Subject


class ContextWindow:
    """One iteration is one search. All prompts begin alike, so that a prefix cache saves most of the reading.

    A prompt fits when it is answered and the server counts as many tokens as were asked: one that silently cuts the
    prompt off answers too, and is caught by its own count.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        prompts: Prompts,
        ask: Asking,
        patience: Patience,
        calibration: Calibrating,
        keep: Keep,
        least_tokens: Annotated[int, Range(min=1)],
        most_tokens: Annotated[int, Range(min=2)],
        guess_tokens: Annotated[int, Range(min=1)] | None,
    ) -> None:
        self._subject = Subject(engine, prompts, ask, patience, calibration)
        self._recorder = Recorder(keep)
        self._least, self._most, self._guess = least_tokens, most_tokens, guess_tokens
        if least_tokens >= most_tokens:
            raise ValueError(f"scenario.least_tokens={least_tokens} should be below most_tokens={most_tokens}")

    def setup(self, context: Context) -> None:
        """Starts the engine; there is no time here whose instrument error would matter."""
        self._subject.open(context)

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Searches once.

        Raises:
            BenchmarkFailed: the shortest prompt was refused.
            Cancelled: the run ended before the limit was found.
        """
        counted: dict[int, int] = {}
        refused: list[Exchange] = []

        def fits(tokens: int) -> bool:
            exchange = self._try(context, tokens)
            if exchange.failure is None and exchange.usage is not None and exchange.usage.input >= tokens:
                counted[tokens] = exchange.usage.input
                return True
            self._note_cut(context, exchange, tokens)
            refused.append(exchange)
            return False

        stated = self._subject.served.context_tokens
        good, bad = longest(fits, self._guess or stated or self._least, self._least, self._most)
        if good is None:
            reason = refused[-1].failure.message if refused[-1].failure else "its own count was smaller"
            raise BenchmarkFailed(f"even a prompt of {self._least} tokens does not fit: {reason}")
        found: dict[str, float] = {"llm.context_window.limit_tokens": counted[good]}
        if bad is None:
            context.event("llm.context_window.open", level="warning", most_tokens=self._most)
        else:
            recognised = sum(bool(one.failure and one.failure.reason == "context_overflow") for one in refused)
            found["llm.context_window.bracket_tokens"] = bad - counted[good]
            found["llm.context_window.recognised"] = recognised / len(refused)
        return found | ({} if stated is None else {"llm.context_window.stated_tokens": stated})

    def _try(self, context: Context, tokens: int) -> Exchange:
        request = self._subject.workload.alike(0, prompt_tokens=tokens, max_tokens=1)
        answered = self._subject.ask(context, [request], ONE_USER)
        if context.cancelled or not answered.final:
            raise Cancelled
        self._recorder.note(context, answered)
        (exchange,) = answered.final
        if exchange.failure is not None and exchange.failure.reason not in ("context_overflow", "client_error"):
            raise BenchmarkFailed(
                f"a prompt of {tokens} tokens failed: {exchange.failure.reason}: {exchange.failure.message}",
                "only a refusal tells where the context ends",
            )
        return exchange

    def _note_cut(self, context: Context, exchange: Exchange, tokens: int) -> None:
        if exchange.failure is None:
            counted = exchange.usage.input if exchange.usage else None
            context.event("llm.context_window.cut", level="warning", asked_tokens=tokens, counted_tokens=counted)

    def teardown(self) -> None:
        """Ends the engine where it was started here."""
        self._subject.close()
