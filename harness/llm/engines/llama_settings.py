"""The settings of llama.cpp that its speed and memory depend on, and how xllamacpp takes them."""

import importlib.util
from dataclasses import asdict, dataclass
from typing import Any

from harness.llm.engine import EngineFailed
from harness.llm.engines import openmp
from harness.llm.model_file import ModelFile

_INSTALL = "install it with `pip install -e '.[llm]'`; it also needs the system's libgomp (Debian: libgomp1)"
_LOG_ERRORS = 1  # of llama.cpp's levels; a line for each request would cost time in the middle of a load


@dataclass(frozen=True, kw_only=True)
class LlamaSettings:
    """Everything here enters the result."""

    model_path: str
    model_name: str  # what the server calls it
    threads: int
    context_tokens: int  # of one request; the cache is made for all slots
    slots: int  # requests served at once
    batch_tokens: int
    micro_batch_tokens: int
    prompt_cache_mb: int
    gpu_layers: int
    warm_up: bool

    def shown(self) -> dict[str, Any]:
        """The settings as they stand in a result; the path is the user's own affair."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("model_")}


def settings_of(file: ModelFile, *, threads: int | None, **knobs: Any) -> LlamaSettings:
    """The settings for a model file, from the knobs that YAML gives; without `threads`, one less than the cores."""
    threads = threads or openmp.default_threads()
    return LlamaSettings(model_path=str(file.path), model_name=file.name, threads=threads, **knobs)


def library_version() -> str:
    """The version of the installed xllamacpp.

    Raises:
        EngineFailed: it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    if importlib.util.find_spec("xllamacpp") is None:
        raise EngineFailed("the package xllamacpp is not installed", _INSTALL)
    try:
        return version("xllamacpp")
    except PackageNotFoundError:
        return "unknown"


def load(settings: LlamaSettings, port: int = 0) -> Any:
    """Loads the model into an `xllamacpp.Server`; it also listens on this loopback port, 0 for any free one.

    Raises:
        RuntimeError: the library gives up; why, it has written to standard error.
        ImportError: the library, or one that it needs, is not there.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings.model_path
    params.model_alias = {settings.model_name}
    params.n_ctx = settings.context_tokens * settings.slots
    params.n_parallel = settings.slots
    params.n_batch, params.n_ubatch = settings.batch_tokens, settings.micro_batch_tokens
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
    params.n_gpu_layers = settings.gpu_layers
    params.warmup = settings.warm_up
    params.fit_params = False  # else it makes the context smaller than asked when memory is short, without a word
    params.cache_ram_mib = settings.prompt_cache_mb
    params.verbosity = _LOG_ERRORS
    params.port, params.hostnames = port, ["127.0.0.1"]
    params.endpoint_metrics = params.endpoint_slots = params.endpoint_props = True
    params.use_jinja = True
    return xllamacpp.Server(params)
