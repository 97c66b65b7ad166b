"""A GGUF file served by llama.cpp in a process of this run's own: started, measured, ended, started again if lost."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

from harness.llm.engine import EngineFailed, Served
from harness.llm.engines import openmp
from harness.llm.engines.llama_settings import library_version, settings_of
from harness.llm.engines.openai import OpenAIEngine
from harness.llm.engines.owned import OwnedProcess
from harness.llm.engines.remaining import Remaining
from harness.llm.exchange import Exchange, Failure
from harness.llm.model_file import ModelFile, find_model
from harness.llm.request import Request
from harness.llm.schedule import Patience, Schedule
from harness.ranges import Range
from harness.runner import Context

LOG = "llama_server.log"
_BROKEN = ("refused", "reset", "cut_off", "malformed", "loading")  # how the end of a server shows in a request
_NOTICE_S = 0.5  # a connection may break before the end of the process behind it has been seen


class LlamaServer:
    """The default engine: what its process uses is the server's alone, and its end costs only what was under way."""

    def __init__(
        self,
        *,
        model_path: str | None,
        threads: Annotated[int, Range(min=1)] | None,
        context_tokens: Annotated[int, Range(min=16)],
        slots: Annotated[int, Range(min=1)],
        batch_tokens: Annotated[int, Range(min=1)],
        micro_batch_tokens: Annotated[int, Range(min=1)],
        prompt_cache_mb: Annotated[int, Range(min=0)],
        gpu_layers: Annotated[int, Range(min=0)],
        warm_up: bool,
        busy_wait: bool,
        memory_limit_mb: Annotated[float, Range(above=0)] | None,
        ready_s: Annotated[float, Range(above=0)],
        restarts: Annotated[int, Range(min=0)],
        keep_alive: bool,
        kernel_stamps: bool,
    ) -> None:
        self._model_path = model_path
        self._settings_of = partial(
            settings_of,
            threads=threads,
            context_tokens=context_tokens,
            slots=slots,
            batch_tokens=batch_tokens,
            micro_batch_tokens=micro_batch_tokens,
            prompt_cache_mb=prompt_cache_mb,
            gpu_layers=gpu_layers,
            warm_up=warm_up,
        )
        self._busy_wait = busy_wait
        self._memory_limit_mb = memory_limit_mb
        self._ready_s = ready_s
        self._restarts = restarts
        self._keep_alive, self._kernel_stamps = keep_alive, kernel_stamps
        self._process: OwnedProcess | None = None
        self._http: OpenAIEngine | None = None
        self._file: ModelFile | None = None
        self._served: Served | None = None
        self._suspect = False  # requests went unanswered: it may hang

    def start(self, context: Context) -> Served:
        """Starts the server and waits until the model is loaded; `load_ms` counts from the start of its process."""
        version = library_version()
        file = self._file = find_model(self._model_path)
        digest = file.digest  # before the clock starts: it reads the whole file
        settings = self._settings_of(file)
        process = self._process = OwnedProcess(
            settings, openmp.environment(self._busy_wait), context.folder / LOG, self._memory_limit_mb
        )
        address = process.start(context, self._ready_s)
        http = self._http = OpenAIEngine(
            base_url=f"{address}/v1",
            model=settings.model_name,
            api_key_env=None,
            server="llama_cpp",
            headers={},
            proxy=None,
            keep_alive=self._keep_alive,
            kernel_stamps=self._kernel_stamps,
            ready_s=self._ready_s,
        )
        served = http.start(context)
        self._suspect = False
        self._served = replace(
            served,
            engine="llama_server",
            engine_version=f"xllamacpp {version}",
            model_digest=digest,
            model_bytes=file.bytes,
            settings={**file.settings(), **settings.shown(), **self._own_settings()},
            pid=process.pid,
            load_ms=process.load_ms,
        )
        return self._served

    def _own_settings(self) -> dict[str, object]:
        return {
            "busy_wait": self._busy_wait,
            "memory_limit_mb": self._memory_limit_mb,
            "keep_alive": self._keep_alive,
        }

    @property
    def http(self) -> OpenAIEngine:
        """The same server as any client sees it.

        Raises:
            EngineFailed: it was not started.
        """
        if self._http is None:
            raise EngineFailed("the server was not started")
        return self._http

    def exchange(
        self, requests: Sequence[Request], schedule: Schedule, patience: Patience, context: Context
    ) -> list[Exchange]:
        """Sends the requests by the schedule; where the server ends under them, it is started again for the rest.

        What was under way when it ended, and in an open loop what fell due while it was away, is `lost`, or
        `out_of_memory` where that was the reason.
        """
        self.revive(context)
        load = Remaining(requests, schedule)
        for left in reversed(range(self._restarts + 1)):
            self._send(load, patience, context)
            if context.cancelled or not load.requests or self._running or not left:
                break
            if not self._come_back(load, context):
                break
        if not context.cancelled:
            load.give_up(self._why_down())
        self._suspect = any(each.failure is not None and each.failure.reason == "timeout" for each in load.exchanges)
        return load.exchanges

    @property
    def _running(self) -> bool:
        return self._process is not None and not self._process.ended

    def _send(self, load: Remaining, patience: Patience, context: Context) -> None:
        """Sends what is left, until all is answered or the server has ended, which then is why the rest broke."""
        process = self._process
        assert process is not None
        part = self.http.exchange_until(
            load.requests, load.schedule, patience, lambda: context.cancelled or process.ended
        )
        broken = [each for each in part if each.failure is not None and each.failure.reason in (*_BROKEN, "cancelled")]
        if broken and not context.cancelled and process.await_end(_NOTICE_S):
            part = load.without_unread(part, broken)
            for each in broken:
                each.failure = process.why_ended()
        load.take(part)

    def _come_back(self, load: Remaining, context: Context) -> bool:
        """Starts the server again for the rest of the load; False where it does not start."""
        why = self._why_down()
        try:
            self._restart(context)
        except EngineFailed as error:
            context.event("llm.restart_failed", message=error.message, reason=error.reason)
            load.give_up(Failure(error.reason, error.message))
            return False
        load.miss(why)
        return True

    def _why_down(self) -> Failure:
        return Failure("lost", "there is no server") if self._process is None else self._process.why_ended()

    def revive(self, context: Context) -> Served:
        """What answers now: where the server has ended, or hangs, a new one."""
        if self._served is None:
            raise EngineFailed("the server was not started")
        if not self._running or self._http is None:
            return self._restart(context)
        if self._suspect and self.http.ask("/health").status != 200:
            context.event("llm.server_hung", level="warning", pid=self._served.pid)
            return self._restart(context)
        self._suspect = False
        return self._served

    def count_tokens(self, text: str) -> int | None:
        """By the model's own tokenizer, which the server offers."""
        return self.http.count_tokens(text)

    def _restart(self, context: Context) -> Served:
        """Ends the server, or what is left of it, and starts it again."""
        why = "it hangs" if self._running else self._why_down().message
        self._end_process()
        served = self.start(context)
        context.event("llm.server_restarted", level="warning", why=why, pid=served.pid, load_ms=served.load_ms)
        return served

    def close(self) -> None:
        """Ends the server's process."""
        self._served = None
        self._end_process()

    def _end_process(self) -> None:
        http, self._http = self._http, None
        if http is not None:
            http.close()
        if self._process is not None:
            self._process.stop()
            self._process = None
