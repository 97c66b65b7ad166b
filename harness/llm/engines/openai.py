"""Any server with the OpenAI-compatible interface, here or elsewhere: found, asked what it is, and put under load."""

import time
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

from harness.errors import Cancelled
from harness.llm.engine import EngineFailed, Served
from harness.llm.engines import probe
from harness.llm.engines.probe import Findings, Kind
from harness.llm.engines.side_calls import Reply, SideCalls
from harness.llm.exchange import Exchange
from harness.llm.listener import Listener, listener_of
from harness.llm.model_file import ModelFile, find_model
from harness.llm.request import Request
from harness.llm.schedule import Patience, Schedule
from harness.llm.wire.body import encode
from harness.llm.wire.client import HttpClient
from harness.llm.wire.target import Target
from harness.ranges import Range
from harness.runner import Context

_LOOK_S = 0.05  # between two questions to a server that is still loading
_STARTS = {
    "llama_cpp": "start it with `llama-server -m MODEL.gguf --port PORT`",
    "ollama": "start it with `ollama serve`, and get a model with `ollama pull MODEL`",
    "vllm": "start it with `vllm serve MODEL`",
    "lm_studio": "start it in LM Studio's developer tab, or with `lms server start`",
}


class OpenAIEngine:
    """A server that runs already; what it does not say of itself is None in the result, never guessed."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str | None,
        api_key_env: str | None,
        server: Kind,
        headers: dict[str, str],
        proxy: str | None,
        keep_alive: bool,
        kernel_stamps: bool,
        ready_s: Annotated[float, Range(min=0)],
    ) -> None:
        self._wanted = model
        self._kind: Kind = server
        self._keep_alive = keep_alive
        self._kernel_stamps = kernel_stamps
        self._ready_s = ready_s
        self._target = Target.of(base_url, headers=headers, api_key_env=api_key_env, proxy=proxy)
        self._calls = SideCalls(self._target)
        self._model: str | None = None
        self._found = Findings()
        self._client: HttpClient | None = None
        self._served: Served | None = None

    @property
    def target(self) -> Target:
        """Where the requests go."""
        return self._target

    @property
    def model(self) -> str | None:
        """The model's name in each request, once started."""
        return self._model

    def start(self, context: Context) -> Served:
        """Waits until the server has loaded, chooses the model, and learns what it can."""
        self._await_ready(context)
        self._model = self._choose(probe.models_of(self._calls))
        self._found = probe.look(self._kind, self._calls, self._model)
        here = listener_of(self._target.host, self._target.port)
        file = self._file(here)
        self._client = self.client()
        self._served = Served(
            engine=self._found.engine,
            engine_version=self._found.version,
            model=self._model,
            model_digest=file.digest if file else self._found.model_digest,
            model_bytes=file.bytes if file else self._found.model_bytes,
            context_tokens=self._found.context_tokens,
            settings=self._settings(here, file),
            pid=here.pid,
        )
        return self._served

    def client(self) -> HttpClient:
        """A client of its own for this server's address."""
        return HttpClient(self._target, stamps=self._kernel_stamps, reuse=self._keep_alive)

    def _settings(self, here: Listener, file: ModelFile | None) -> dict[str, Any]:
        transport = {"base_url": self._target.url, "keep_alive": self._keep_alive}
        unknown = {} if here.pid is not None else {"pid_unknown": here.reason}
        return {**(file.settings() if file else {}), **self._found.settings, **transport, **unknown}

    def _file(self, here: Listener) -> ModelFile | None:
        """The model's file, where the server runs on this host, names it, and it can be read."""
        path = self._found.model_path
        if here.pid is None or path is None or not path.endswith(".gguf"):
            return None
        try:
            return find_model(path)
        except EngineFailed:
            return None  # of another user, or of a container's own file system: the digest stays unknown

    def _await_ready(self, context: Context) -> None:
        """Returns when the server lists its models and no longer says that it is loading one.

        llama.cpp listens, and lists its model, before that is loaded; only /health tells.
        """
        until = time.monotonic() + self._ready_s
        while True:
            listed, health = self._calls.ask("models"), self._calls.ask("/health")
            if listed.status != 503 and health.status != 503:
                return self._check(listed)
            if context.cancelled:
                raise Cancelled
            if time.monotonic() >= until:
                message = f"{self._target.url} was still loading after {self._ready_s:g} s"
                raise EngineFailed(message, "give it longer with llm.ready_s", "loading")
            time.sleep(_LOOK_S)  # a server that loads can only be asked again

    def _check(self, listed: Reply) -> None:
        url = self._target.url
        if listed.status == 0:
            hint = _STARTS.get(self._kind, "start it, or set llm.base_url to where it listens")
            raise EngineFailed(f"no answer from {url}: {listed.text}", hint, "refused")
        if listed.status in (401, 403):
            key = self._target.missing_key
            hint = (
                f"set the environment variable {key}" if key else "name the variable with the key: llm.api_key_env=NAME"
            )
            raise EngineFailed(f"{url} wants a key: HTTP {listed.status}", hint, "client_error")
        if listed.status >= 500:
            raise EngineFailed(f"{url} answers HTTP {listed.status}: {listed.text[:200]}", "look into its log")
        if listed.status == 200 and listed.content is None:
            hint = "is it another program, or does the base URL lack its path (often /v1)?"
            raise EngineFailed(f"{url}/models is no JSON: {listed.text[:80]!r}", hint, "content_type")

    def _choose(self, offered: Sequence[str]) -> str:
        """The model asked for, or the only one there is.

        Raises:
            EngineFailed: it is not offered, or there are several to choose from.
        """
        wanted = self._wanted
        if wanted is None:
            if len(offered) == 1:
                return offered[0]
            names = f"it offers {_shown(offered)}" if offered else "it lists none"
            raise EngineFailed(f"which model of {self._target.url}? {names}", "say llm.model=NAME", "client_error")
        if not offered or wanted in offered:
            return wanted
        if f"{wanted}:latest" in offered:
            return f"{wanted}:latest"
        near = get_close_matches(wanted, offered, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise EngineFailed(
            f"{self._target.url} has no model {wanted!r}", f"{hint}It offers {_shown(offered)}", "client_error"
        )

    def exchange(
        self, requests: Sequence[Request], schedule: Schedule, patience: Patience, context: Context
    ) -> list[Exchange]:
        """Sends the requests by the schedule; what came of each, in their order."""
        return self.exchange_until(requests, schedule, patience, lambda: context.cancelled)

    def exchange_until(
        self, requests: Sequence[Request], schedule: Schedule, patience: Patience, ended: Callable[[], bool]
    ) -> list[Exchange]:
        """The same, ended early when `ended` says so.

        Raises:
            EngineFailed: the engine was not started.
        """
        if self._client is None:
            raise EngineFailed("the engine was not started")
        calls = [(request, *encode(request, self._model)) for request in requests]
        return self._client.exchange(calls, schedule, patience, ended)

    def count_tokens(self, text: str) -> int | None:
        """By the server's own tokenizer; None where it offers none."""
        return probe.count_tokens(self._calls, self._found.counts_tokens, self._model or "", text)

    def ask(self, path: str, body: Mapping[str, Any] | None = None, timeout_s: float | None = None) -> Reply:
        """A question beside the load, such as `/metrics` or `/slots`."""
        return self._calls.ask(path, body, timeout_s)

    def revive(self, context: Context) -> Served:
        """What `start` found: this server is somebody else's to start again."""
        if self._served is None:
            raise EngineFailed("the engine was not started")
        return self._served

    def close(self) -> None:
        """Closes the connections; the server goes on."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(map(repr, names[:8])) + more
