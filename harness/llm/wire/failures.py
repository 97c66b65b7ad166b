"""Why a server refused, told from its status and its words; every server says the same thing differently."""

import json
import re
from collections.abc import Mapping
from typing import Any

from harness.llm.exchange import Failure, Reason

_SHOWN = 300  # characters of a server's own words

# llama.cpp (type exceed_context_size_error), OpenAI (code context_length_exceeded), vLLM ("maximum context length",
# "too long to fit into the model", "longer than the maximum model length"), Ollama ("input length exceeds the context
# length", "exceeds context length"), LM Studio ("when context the overflows", "Context size has been exceeded"). The
# wordings stand in the issues 12165, 20409 and 33425 of vLLM and 237, 546 and 2339 of lmstudio-bug-tracker.
_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|maximum context length|too long to fit into the model"
    r"|longer than the maximum model length|exceeds?( the)?( available| maximum)? context"
    r"|context (size|length|window) (has been )?exceeded|context the overflows|greater than the context length",
    re.IGNORECASE,
)
_MEMORY = re.compile(
    r"out of memory|OutOfMemory|failed to allocate|requires more system memory|bad_alloc", re.IGNORECASE
)
_LOADING = re.compile(r"loading model|model is loading|still loading", re.IGNORECASE)


def refusal(status: int, body: bytes, retry_after: str | None = None, missing_key: str | None = None) -> Failure:
    """The failure behind an answer whose status is not 200."""
    said = _words(body)
    wait_s = seconds_to_wait(retry_after)
    message = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status == 401 and missing_key:
        message += f" (the environment variable {missing_key} is not set)"
    return Failure(_reason(status, said), message, wait_s)


def from_error(error: Any) -> Failure:
    """The failure behind an `error` that came inside a stream or an answer of status 200."""
    code = error.get("code") if isinstance(error, Mapping) else None
    status = code if isinstance(code, int) and 400 <= code <= 599 else 500
    said = _words(json.dumps({"error": error}, ensure_ascii=False).encode())
    return Failure(_reason(status, said), f"the server says: {said}", None)


def seconds_to_wait(retry_after: str | None) -> float | None:
    """The seconds of a Retry-After header; None for none, or for its other form, a date."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _reason(status: int, said: str) -> Reason:
    if _OVERFLOW.search(said):
        return "context_overflow"
    if _MEMORY.search(said):
        return "out_of_memory"
    if status == 429:
        return "busy"
    if status == 503 or _LOADING.search(said):
        return "loading"
    return "server_error" if status >= 500 else "client_error"


def _words(body: bytes) -> str:
    """What the server says, without the JSON around it: kind and message, or the start of whatever it is."""
    text = body.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except ValueError:
        return text[:_SHOWN]
    error = found.get("error", found) if isinstance(found, Mapping) else found
    if not isinstance(error, Mapping):
        return str(error)[:_SHOWN]
    kind = [str(error[key]) for key in ("type", "code") if isinstance(error.get(key), str)]
    message = error.get("message") or error.get("detail") or ""
    return ": ".join([*kind, str(message)] if message else kind or [text])[:_SHOWN]
