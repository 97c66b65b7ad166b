"""One request at a time, in its two stages: reading the prompt and writing the answer."""

from collections.abc import Mapping

from harness.llm.engine import Engine
from harness.llm.exchange import Exchange
from harness.llm.latency import first_ms, per_token_ms, whole_ms
from harness.llm.prompts import Prompts
from harness.llm.request import Request
from harness.llm.schedule import Patience
from harness.llm.workload import Asking
from harness.runner import Context
from harness.scenarios.llm.instrument import Calibrating
from harness.scenarios.llm.record import Keep, Recorder
from harness.scenarios.llm.subject import ONE_USER, Subject, Supply


class Inference:
    """One iteration asks twice: for one token, which the prompt costs, and for a whole answer, which adds its own."""

    def __init__(
        self,
        *,
        engine: Engine,
        prompts: Prompts,
        ask: Asking,
        patience: Patience,
        calibration: Calibrating,
        keep: Keep,
    ) -> None:
        self._subject = Subject(engine, prompts, ask, patience, calibration)
        self._recorder = Recorder(keep)

    def setup(self, context: Context) -> None:
        """Starts the engine, and tries the instrument with requests of the same size."""
        self._subject.open(context)
        self._supply = Supply(self._make, context)
        self._subject.calibrate(context, ONE_USER, [self._make()[1]])

    def _make(self) -> list[Request]:
        workload = self._subject.workload
        return [workload.request(max_tokens=1, tag="prefill"), workload.request(tag="whole")]

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Asks for one token and for all of them, and divides tokens by time."""
        requests = self._supply.take()
        self._subject.joules(context)
        answered = self._subject.ask(context, requests, ONE_USER)
        joules, tokens = self._subject.joules(context), answered.output_tokens
        self._recorder.record(context, answered)
        found: dict[str, float | None] = {}
        for exchange in answered.good:
            found |= (
                self._prefill(context, exchange)
                if exchange.request.tag == "prefill"
                else self._decode(context, exchange)
            )
        if joules is not None and tokens:
            found["llm.joules_per_token"] = joules / tokens
        return {name: value for name, value in found.items() if value is not None}

    def _prefill(self, context: Context, exchange: Exchange) -> dict[str, float | None]:
        first = first_ms(exchange, exchange.sent_ns) or whole_ms(exchange, exchange.sent_ns)
        usage = exchange.usage
        if usage is None or first <= 0:
            return {}
        rate = (usage.input - (usage.cached or 0)) * 1000 / first
        self._subject.instrument.scaled(context, "llm.inference.prefill_tokens_per_s", "llm.ttft_ms", rate / first)
        return {"llm.inference.prefill_tokens_per_s": rate}

    def _decode(self, context: Context, exchange: Exchange) -> dict[str, float | None]:
        first, each = first_ms(exchange, exchange.sent_ns), per_token_ms(exchange)
        if each:
            rate_per_ms = 1000 / each**2
            self._subject.instrument.scaled(context, "llm.inference.decode_tokens_per_s", "llm.tpot_ms", rate_per_ms)
        return {
            "llm.inference.decode_tokens_per_s": 1000 / each if each else None,
            "llm.inference.prefill_share": None if first is None else first / whole_ms(exchange, exchange.sent_ns),
        }

    def teardown(self) -> None:
        """Ends the engine where it was started here."""
        self._subject.close()
