"""What a server says of itself, in the words of each kind of server: version, context, model file, digest, settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.llm.engines.side_calls import SideCalls

Kind = Literal["auto", "llama_cpp", "ollama", "vllm", "lm_studio", "other"]


@dataclass(frozen=True)
class Findings:
    """What could be learnt; None where the server does not say."""

    engine: str = "openai"
    version: str | None = None
    context_tokens: int | None = None
    model_path: str | None = None  # on the server's host
    model_digest: str | None = None
    model_bytes: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    counts_tokens: Literal["llama_cpp", "vllm"] | None = None  # the form of its /tokenize


def look(kind: Kind, calls: SideCalls, model: str) -> Findings:
    """Asks the server in the words of its kind; `auto` tries all, and the first that answers is taken."""
    if kind != "auto":
        return _LOOKS[kind](calls, model) or Findings(kind)
    for each in _LOOKS.values():
        found = each(calls, model)
        if found is not None:
            return found
    return Findings()


def _llama_cpp(calls: SideCalls, model: str) -> Findings | None:
    reply = calls.ask("/props")
    if not reply.ok or not isinstance(reply.content, Mapping) or "default_generation_settings" not in reply.content:
        return None
    props = reply.content
    context = _whole(props["default_generation_settings"].get("n_ctx"))
    settings = {"slots": _whole(props.get("total_slots")), "quantisation": props.get("model_ftype")}
    return Findings(
        "llama_cpp",
        props.get("build_info") or None,
        context,
        props.get("model_path") or None,
        settings={name: value for name, value in settings.items() if value is not None},
        counts_tokens="llama_cpp",
    )


def _ollama(calls: SideCalls, model: str) -> Findings | None:
    version = calls.ask("/api/version")
    if not version.ok or not isinstance(version.content, Mapping) or "version" not in version.content:
        return None
    shown = calls.ask("/api/show", {"model": model}).content
    details = shown.get("details", {}) if isinstance(shown, Mapping) else {}
    listed = next((each for each in _entries(calls, "/api/tags", "models") if _is_named(each, model)), {})
    running = next((each for each in _entries(calls, "/api/ps", "models") if _is_named(each, model)), {})
    settings = {
        "quantisation": details.get("quantization_level"),
        "architecture": details.get("family"),
        "weights": details.get("parameter_size"),
        "trained_context_tokens": _trained(shown),
    }
    return Findings(
        "ollama",
        str(version.content["version"]),
        _whole(running.get("context_length")),
        model_digest=str(listed["digest"]).removeprefix("sha256:") if listed.get("digest") else None,
        model_bytes=_whole(listed.get("size")),
        settings={name: value for name, value in settings.items() if value is not None},
    )


def _trained(shown: Any) -> int | None:
    """Ollama names it `<architecture>.context_length`."""
    info = shown.get("model_info", {}) if isinstance(shown, Mapping) else {}
    return next((_whole(value) for name, value in info.items() if name.endswith(".context_length")), None)


def _lm_studio(calls: SideCalls, model: str) -> Findings | None:
    entry = next((each for each in _entries(calls, "/api/v0/models", "data") if each.get("id") == model), None)
    if entry is None:
        return None
    settings = {
        "quantisation": entry.get("quantization"),
        "architecture": entry.get("arch"),
        "trained_context_tokens": entry.get("max_context_length"),
    }
    return Findings(
        "lm_studio",
        None,
        _whole(entry.get("loaded_context_length")),
        settings={name: value for name, value in settings.items() if value is not None},
    )


def _vllm(calls: SideCalls, model: str) -> Findings | None:
    version = calls.ask("/version")
    if not version.ok or not isinstance(version.content, Mapping) or "version" not in version.content:
        return None
    entry = next((each for each in _entries(calls, "models", "data") if each.get("id") == model), {})
    return Findings(
        "vllm",
        str(version.content["version"]),
        _whole(entry.get("max_model_len")),
        entry.get("root"),
        counts_tokens="vllm",
    )


def _other(calls: SideCalls, model: str) -> Findings | None:
    """Any other server: its list of models may still state a context."""
    entry = next((each for each in _entries(calls, "models", "data") if each.get("id") == model), {})
    context = entry.get("max_model_len") or entry.get("context_length") or entry.get("context_window")
    return Findings(context_tokens=_whole(context))


_LOOKS: Mapping[str, Callable[[SideCalls, str], Findings | None]] = {
    "llama_cpp": _llama_cpp,
    "ollama": _ollama,
    "lm_studio": _lm_studio,
    "vllm": _vllm,
    "other": _other,
}


def models_of(calls: SideCalls) -> list[str]:
    """The names under which the server offers models, empty where it does not list them."""
    return [str(each["id"]) for each in _entries(calls, "models", "data") if "id" in each]


def _entries(calls: SideCalls, path: str, key: str) -> list[Mapping[str, Any]]:
    content = calls.ask(path).content
    entries = content.get(key) if isinstance(content, Mapping) else None
    return [each for each in entries if isinstance(each, Mapping)] if isinstance(entries, list) else []


def _is_named(entry: Mapping[str, Any], model: str) -> bool:
    """Ollama adds the tag `latest` to a name without one."""
    named = str(entry.get("model") or entry.get("name") or "")
    return named == model or named == f"{model}:latest"


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def count_tokens(calls: SideCalls, form: Literal["llama_cpp", "vllm"] | None, model: str, text: str) -> int | None:
    """What the server's own tokenizer makes of the text, without marks of a beginning; None where it offers none."""
    if form == "llama_cpp":
        content = calls.ask("/tokenize", {"content": text, "add_special": False}).content
    elif form == "vllm":
        content = calls.ask("/tokenize", {"model": model, "prompt": text, "add_special_tokens": False}).content
    else:
        return None
    tokens = content.get("tokens") if isinstance(content, Mapping) else None
    return len(tokens) if isinstance(tokens, list) else None
