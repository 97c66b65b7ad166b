"""The same model through torch, by Hugging Face transformers in this process: weights from a GGUF file or a folder.

One request at a time is computed, as the library does by itself; others wait, and their wait is stated as queue time.
"""

import gc
import importlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from harness.llm.engine import EngineFailed, Served
from harness.llm.engines import openmp
from harness.llm.engines.call import Call, Noted
from harness.llm.engines.in_process import InProcessLoad
from harness.llm.engines.token_reading import Ended, read_tokens
from harness.llm.exchange import Exchange, Failure
from harness.llm.model_file import digest_of, find_model
from harness.llm.request import Request
from harness.llm.schedule import Patience, Schedule
from harness.ranges import Range
from harness.runner import Context

_NEEDED = ("transformers", "gguf", "accelerate", "torch")
_KNOWN_EXTRA = {"ignore_eos", "cache_prompt"}  # there is no prefix cache here, so the latter changes nothing
_WAIT_S = 0.05


class Transformers:
    """A causal language model in torch; tokens are stamped as `generate` hands them out, and decoded after the load."""

    def __init__(
        self,
        *,
        model_path: str | None,
        threads: Annotated[int, Range(min=1)] | None,
        context_tokens: Annotated[int, Range(min=16)] | None,
        dtype: Literal["float32", "bfloat16", "float16"],
        busy_wait: bool,
    ) -> None:
        self._model_path = model_path
        self._threads = threads
        self._context_tokens = context_tokens
        self._dtype = dtype
        self._busy_wait = busy_wait
        self._model: Any = None
        self._tokenizer: Any = None
        self._served: Served | None = None
        self._limit = 0
        self._turn = threading.Lock()

    def start(self, context: Context) -> Served:
        """Loads tokenizer and weights; `load_ms` is theirs, without the import of the libraries.

        Raises:
            EngineFailed: a library is missing, or the model is none that it knows.
        """
        missing = [name for name in _NEEDED if find_spec(name) is None]
        if missing:
            raise EngineFailed(
                f"not installed: {', '.join(missing)}", "install them with `pip install -e '.[transformers]'`"
            )
        source = _Source(self._model_path)
        openmp.settle(self._busy_wait)
        os.environ |= {
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "TQDM_DISABLE": "1",
        }  # read at the import
        import torch

        transformers = _library()
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        threads = self._threads or openmp.default_threads()
        torch.set_num_threads(threads)
        started_ns = time.monotonic_ns()
        self._load(source, context.device)
        load_ms = (time.monotonic_ns() - started_ns) / 1e6
        trained = int(getattr(self._model.config, "max_position_embeddings", 0)) or None
        self._limit = self._context_tokens or trained or 0
        self._served = Served(
            engine="transformers",
            engine_version=f"transformers {transformers.__version__}, torch {torch.__version__}",
            model=source.name,
            model_digest=source.digest,
            model_bytes=source.bytes,
            context_tokens=self._limit or None,
            settings={
                **source.settings,
                "threads": threads,
                "dtype": self._dtype,
                "device": context.device,
                "slots": 1,
                "attention": self._model.config._attn_implementation,
                "busy_wait": self._busy_wait,
                "in_process": True,
            },
            pid=os.getpid(),
            load_ms=load_ms,
        )
        return self._served

    def _load(self, source: "_Source", device: str) -> None:
        import torch

        transformers, dtype = _library(), getattr(torch, self._dtype)
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(source.folder, **source.arguments)
            model = transformers.AutoModelForCausalLM.from_pretrained(source.folder, dtype=dtype, **source.arguments)
            self._model = model.to(device).eval()
        except (OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
            failure = _failure(error)
            hint = "the library knows fewer architectures and quantisations than llama.cpp does"
            raise EngineFailed(
                f"transformers does not load {source.name}: {failure.message}", hint, failure.reason
            ) from error

    def exchange(
        self, requests: Sequence[Request], schedule: Schedule, patience: Patience, context: Context
    ) -> list[Exchange]:
        """Computes one request after the other as the schedule sends them; what came of each, in their order.

        Raises:
            EngineFailed: the engine was not started.
        """
        if self._model is None:
            raise EngineFailed("the engine was not started")
        return InProcessLoad(self, requests, schedule, patience, lambda: context.cancelled).run()

    def prepare(self, request: Request) -> Any:
        """Nothing: tokens are made in `answer`, since every server makes them while the clock runs."""

    def answer(self, call: Call, prepared: Any) -> Failure | None:
        """Waits for its turn, then generates, noting each token and, at the end, what was counted."""
        request = call.exchange.request
        if unknown := set(request.extra) - _KNOWN_EXTRA:
            return Failure("client_error", f"transformers does not know: {', '.join(sorted(unknown))}")
        queued_ns = time.monotonic_ns()
        while not self._turn.acquire(timeout=_WAIT_S):
            if call.stopped:
                return None
        try:
            return self._generate(call, request, time.monotonic_ns() - queued_ns)
        except (RuntimeError, MemoryError, ValueError) as error:
            return _failure(error)
        finally:
            self._turn.release()

    def _generate(self, call: Call, request: Request, queue_ns: int) -> Failure | None:
        import torch

        tokens = self._tokens(request)
        count = int(tokens["input_ids"].shape[1])
        room = self._limit - count if self._limit else request.sampling.max_tokens
        if room <= 0:
            message = f"{count} tokens exceed the context of {self._limit}"
            return Failure("context_overflow", message)
        sampling = request.sampling
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        started_ns = time.monotonic_ns()
        self._model.generate(
            **tokens,
            max_new_tokens=min(sampling.max_tokens, room),
            streamer=_Stamper(call),
            stopping_criteria=_library().StoppingCriteriaList([lambda *_: torch.tensor([call.stopped])]),
            **_drawing(sampling.temperature, sampling.top_p),
            **self._ending(request),
        )
        call.note(Ended(count, started_ns, queue_ns))
        return None

    def _tokens(self, request: Request) -> Any:
        if request.endpoint == "chat" and self._tokenizer.chat_template:
            turns = [{"role": turn.role, "content": turn.content} for turn in request.messages]
            made = self._tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        else:
            made = self._tokenizer(request.text, return_tensors="pt")
        return made.to(self._model.device)

    def _ending(self, request: Request) -> dict[str, Any]:
        """Where an answer ends by itself: at the model's own mark, unless it is to be ignored, and at given words."""
        ending: dict[str, Any] = {}
        if request.extra.get("ignore_eos"):
            ending["eos_token_id"] = -1  # no token has this number
        if request.sampling.stop:
            ending |= {"stop_strings": list(request.sampling.stop), "tokenizer": self._tokenizer}
        return ending

    def read(self, exchange: Exchange, noted: Sequence[Noted]) -> None:
        """Puts into the exchange what the tokens say."""
        marks = self._model.generation_config.eos_token_id if self._model is not None else None
        ends = frozenset(marks if isinstance(marks, list) else [marks])
        read_tokens(exchange, noted, self._tokenizer, ends)

    def count_tokens(self, text: str) -> int | None:
        """By the model's own tokenizer, without marks of a beginning."""
        if self._tokenizer is None:
            return None
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def revive(self, context: Context) -> Served:
        """What `start` loaded: it lives as long as this process."""
        if self._served is None:
            raise EngineFailed("the engine was not started")
        return self._served

    def close(self) -> None:
        """Releases the weights, as soon as no request is computed with them any more."""
        self._model = self._tokenizer = None
        gc.collect()


class _Stamper:
    """Notes each token as `generate` hands it out; the first thing handed out is the prompt."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        """Called by `generate` with a tensor of token numbers, already on the CPU."""
        if self._prompt_seen:
            self._call.note(int(value[0]))
        self._prompt_seen = True

    def end(self) -> None:
        """Called by `generate` when it is done."""


class _Source:
    """Where the weights come from: a GGUF file, or a folder as the library saves it."""

    def __init__(self, model_path: str | None) -> None:
        folder = Path(model_path).expanduser() if model_path else None
        if folder is not None and folder.is_dir():
            self.folder, self.arguments, self.name = str(folder), {}, folder.name
            files = tuple(sorted(folder.glob("*.safetensors")))
            if not files:
                raise EngineFailed(f"there are no weights in {folder}", "*.safetensors are looked for")
            self.settings: Mapping[str, Any] = {}
            self.bytes = sum(file.stat().st_size for file in files)
            self.digest = digest_of(files)
            return
        file = find_model(model_path)
        self.folder, self.arguments = str(file.path.parent), {"gguf_file": file.path.name}
        self.name, self.settings = file.name, file.settings()
        self.bytes, self.digest = file.bytes, file.digest


def _library() -> Any:
    """The library, untyped: it is an extra, and large enough to slow every check of types down."""
    return importlib.import_module("transformers")


def _drawing(temperature: float, top_p: float) -> dict[str, Any]:
    if temperature == 0:
        return {"do_sample": False}
    return {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}


def _failure(error: BaseException) -> Failure:
    """What the library raised, as the outcome of a request; torch has no error of its own for memory on a CPU."""
    text = f"{type(error).__name__}: {error}"
    memory = isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text
    return Failure("out_of_memory" if memory else "server_error", text[:300])
