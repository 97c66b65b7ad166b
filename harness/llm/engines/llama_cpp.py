"""A GGUF file in this very process, through llama.cpp: what is left when HTTP is taken away.

Memory and CPU time are then those of the measuring process too.
"""

import gc
import json
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from harness.llm.engine import EngineFailed, Served
from harness.llm.engines import openmp, probe
from harness.llm.engines.call import Call, Noted
from harness.llm.engines.chunk_reading import read_chunks
from harness.llm.engines.in_process import InProcessLoad
from harness.llm.engines.llama_settings import LlamaSettings, library_version, load, settings_of
from harness.llm.engines.side_calls import SideCalls
from harness.llm.exchange import Exchange, Failure
from harness.llm.model_file import find_model
from harness.llm.request import Request
from harness.llm.schedule import Patience, Schedule
from harness.llm.wire.body import fields
from harness.llm.wire.target import Target
from harness.ranges import Range
from harness.runner import Context

_kept: list[Any] = []  # servers that a thread of ours is still inside: destroying one of these would end the process


class LlamaCpp:
    """The model file loaded by xllamacpp; needs an interpreter in which no other OpenMP was loaded before."""

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
        self._server: Any = None
        self._calls: SideCalls | None = None
        self._served: Served | None = None
        self._given_up: list[Call] = []

    def start(self, context: Context) -> Served:
        """Loads the library and the model; `load_ms` is that of the model alone."""
        version = library_version()
        file = find_model(self._model_path)
        digest = file.digest
        openmp.settle(self._busy_wait)
        settings = self._settings_of(file)
        load_ms = self._load(settings)
        self._calls = SideCalls(Target.of(f"{self._server.listening_address}/v1"))
        found = probe.look("llama_cpp", self._calls, file.name)
        self._served = Served(
            engine="llama_cpp",
            engine_version=f"xllamacpp {version}",
            model=file.name,
            model_digest=digest,
            model_bytes=file.bytes,
            context_tokens=found.context_tokens,
            settings={**file.settings(), **settings.shown(), "busy_wait": self._busy_wait, "in_process": True},
            pid=os.getpid(),
            load_ms=load_ms,
        )
        return self._served

    def _load(self, settings: LlamaSettings) -> float:
        try:
            import xllamacpp  # noqa: F401 - its import is not part of loading the model
        except ImportError as error:
            hint = "it needs the system's libgomp (Debian: libgomp1)"
            raise EngineFailed(f"xllamacpp cannot be imported: {error}", hint) from error
        started_ns = time.monotonic_ns()
        try:
            self._server = load(settings)
        except (RuntimeError, MemoryError) as error:
            hint = "the run's worker.log says why; llm=smollm2 loads it in a process of its own and reports the reason"
            raise EngineFailed(f"llama.cpp does not load {settings.model_path}: {error}", hint) from error
        return (time.monotonic_ns() - started_ns) / 1e6

    def exchange(
        self, requests: Sequence[Request], schedule: Schedule, patience: Patience, context: Context
    ) -> list[Exchange]:
        """Sends the requests by the schedule; what came of each, in their order.

        Raises:
            EngineFailed: the engine was not started.
        """
        if self._server is None:
            raise EngineFailed("the engine was not started")
        load = InProcessLoad(self, requests, schedule, patience, lambda: context.cancelled)
        exchanges = load.run()
        self._given_up += load.stuck
        return exchanges

    def prepare(self, request: Request) -> bytes:
        """The JSON of the request, made before the load as every client makes it."""
        return json.dumps(fields(request, None)).encode()

    def answer(self, call: Call, prepared: bytes) -> Failure | None:
        """Blocks until the answer is there; each chunk is noted as the bytes of its JSON."""
        chat = call.exchange.request.endpoint == "chat"
        ask = self._server.handle_chat_completions if chat else self._server.handle_completions
        ask(prepared, call.note)
        return None

    def read(self, exchange: Exchange, noted: Sequence[Noted]) -> None:
        """Puts into the exchange what the chunks say."""
        read_chunks(exchange, noted)

    def count_tokens(self, text: str) -> int | None:
        """By the model's own tokenizer, which the library offers on its port only."""
        return None if self._calls is None else probe.count_tokens(self._calls, "llama_cpp", "", text)

    def revive(self, context: Context) -> Served:
        """What `start` loaded: it lives as long as this process."""
        if self._served is None:
            raise EngineFailed("the engine was not started")
        return self._served

    @property
    def _held(self) -> bool:
        self._given_up = [call for call in self._given_up if not call.returned.is_set()]
        return bool(self._given_up)

    def close(self) -> None:
        """Releases the model, unless a thread is still inside the library."""
        server, self._server = self._server, None
        self._calls = None
        if server is not None and self._held:
            _kept.append(server)
        del server
        gc.collect()
