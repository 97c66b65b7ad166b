"""Takes secrets out of whatever is stored, logged, exported or shown.

Three nets, because each has holes: the values that are known to be secret, wherever they turn up; the names under which
secrets stand (`api_key`, `--password`, `token=`), whatever their value; and the forms that give a secret away (user
information in a URL, an Authorization header).
"""

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from harness.errors import Problem

MASK = "[redacted]"
SHORTEST = 6  # a shorter value would blot out ordinary words wherever they stand; under its own key it is masked anyway

_ALWAYS = {"secret", "secrets", "password", "passwords", "passwd", "passphrase", "pwd", "credential", "credentials"}
_ALWAYS |= {"authorization", "apikey", "cookie", "bearer"}
_KEYS_OF = {"api", "access", "secret", "private", "signing", "encryption", "auth", "account", "license"}
_PLAIN_TOKENS = {
    "first",
    "next",
    "stop",
    "eos",
    "bos",
    "pad",
    "unk",
    "sep",
    "mask",
    "cls",
    "per",
    "max",
    "min",
    "inter",
}
_NAMES_ONLY = {"env", "file", "path", "name", "names", "var", "variable"}  # `api_key_env` says where the secret is
_ORDINARY = {"disabled", "enabled", "default", "required", "optional", "anonymous"}
_NOT_SECRET_VARIABLES = {"PWD", "OLDPWD"}

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_URL = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^/\s@'\"]*)@")
_HEADER = re.compile(
    r"(?i)(?P<name>authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic|digest|token)\s+)?[^\s\"',}]+"
)
_BEARER = re.compile(r"(?i)(?P<scheme>\bbearer\s+)[A-Za-z0-9._~+/=-]{6,}")
_KEY = re.compile(r"(?P<name>[\w.-]+)[\"']?\s*[=:]\s*")
_VALUE = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s,;&}\]\"']+")
_OVERRIDE = re.compile(r"(?s)(?P<head>(?:override )?[+~-]*(?P<name>[\w./@-]+)=).+")
_MASKED = re.compile(r"[\"']?(?:\[redacted|…)")
_DOTTED = re.compile(r"[\w.-]+")
_FOUND = re.compile(r"(?s)\bfound .*")
_FLAG = re.compile(r"--?[A-Za-z][\w-]*")
_FLAG_AND_VALUE = re.compile(r"(?P<name>(?<!\S)--[A-Za-z][\w-]*)(?P<between>\s+)[^\s-]\S*")


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is likely a secret; `max_tokens` and `api_key_env` are not."""
    words = [word.lower() for word in _WORDS.findall(name.rpartition(".")[2])]
    if not words or words[-1] in _NAMES_ONLY:
        return False
    if _ALWAYS & set(words):
        return True
    before = words[-2] if len(words) > 1 else ""
    if words[-1] == "token":
        return before not in _PLAIN_TOKENS
    return words[-1] in ("key", "keys") and before in _KEYS_OF


def secrets_of(config: Mapping[str, Any], environ: Mapping[str, str]) -> frozenset[str]:
    """Every value that is known to be secret: of the configuration, and of the environment."""
    found = {str(value) for name, value in _named(config) if is_secret_name(name)}
    named = {str(value) for name, value in _named(config) if name.endswith("_env")}
    for variable, value in environ.items():
        looks_secret = is_secret_name(variable) or variable.upper().endswith("_KEY")
        if variable in named or (looks_secret and variable not in _NOT_SECRET_VARIABLES):
            found.add(value)
    for text in (*(str(value) for _, value in _named(config)), *environ.values()):
        found |= {url["user"].partition(":")[2] for url in _URL.finditer(text)}
    return frozenset(value for value in found if len(value) >= SHORTEST and value.lower() not in _ORDINARY)


def _named(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every text or number with the nearest key above it."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            inherited = name if is_secret_name(name) else str(key)
            yield from _named(below, inherited)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _named(below, name)
    elif value is not None and not isinstance(value, bool):
        yield name, value


def redact(value: Any, secrets: Set[str] = frozenset()) -> Any:
    """A copy of the value (mapping, list, text) without the secrets; numbers and the like stay as they are."""
    if isinstance(value, Mapping):
        return {key: _under(str(key), below, secrets) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return _sequence(value, secrets)
    return _text(value, secrets) if isinstance(value, str) else value


def _under(key: str, value: Any, secrets: Set[str]) -> Any:
    if is_secret_name(key):
        return _masked(value)
    if key.endswith("_env") and isinstance(value, str) and not value.isidentifier():
        return MASK  # somebody wrote the key itself where the name of a variable belongs
    return redact(value, secrets)


def _masked(value: Any) -> Any:
    """The shape of the value with every text and number in it masked."""
    if isinstance(value, Mapping):
        return {key: _masked(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(below) for below in value]
    return value if value is None or value == "" or isinstance(value, bool) else MASK


def _sequence(values: list[Any] | tuple[Any, ...], secrets: Set[str]) -> list[Any]:
    """A list; in one of command-line words, the word after `--password` is the password."""
    result: list[Any] = []
    after_flag = False
    for value in values:
        is_word = isinstance(value, str)
        result.append(MASK if after_flag and is_word else redact(value, secrets))
        after_flag = is_word and _FLAG.fullmatch(value) is not None and is_secret_name(value)
    return result


def _text(text: str, secrets: Set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    override = _OVERRIDE.fullmatch(text)
    if override and is_secret_name(override["name"]):
        return f"{override['head']}{MASK}"
    text = _URL.sub(lambda url: f"{url['scheme']}{MASK}@", text)
    text = _HEADER.sub(lambda header: f"{header['name']}{MASK}", text)
    text = _BEARER.sub(lambda bearer: f"{bearer['scheme']}{MASK}", text)
    text = _FLAG_AND_VALUE.sub(_mask_flag, text)
    return _mask_pairs(text)


def _mask_flag(flag: re.Match[str]) -> str:
    return f"{flag['name']}{flag['between']}{MASK}" if is_secret_name(flag["name"]) else flag[0]


def _mask_pairs(text: str) -> str:
    """The text with the value behind every secret name masked, also of names inside a quoted value."""
    parts, at = [], 0
    for key in _KEY.finditer(text):
        value = _VALUE.match(text, key.end())
        if value is None or key.start() < at or not is_secret_name(key["name"]) or _MASKED.match(value[0]):
            continue
        quote = value[0][0] if value[0][0] in "\"'" else ""
        parts += [text[at : key.end()], f"{quote}{MASK}{quote}"]
        at = value.end()
    return "".join([*parts, text[at:]])


def redact_problems(problems: list[Problem], secrets: Set[str]) -> list[Problem]:
    """The same problems without secrets: an override is repeated in full where it is wrong."""
    return [Problem(_text(one.place, secrets), _message(one, secrets), _text(one.hint, secrets)) for one in problems]


def _message(problem: Problem, secrets: Set[str]) -> str:
    """A message `key: rule, found value`, in which the key is a name and the rule no secret."""
    key, separator, rule = problem.message.partition(": ")
    if not separator or not _DOTTED.fullmatch(key):
        return _text(problem.message, secrets)
    if is_secret_name(key):
        rule = _FOUND.sub(f"found {MASK}", rule)
    return f"{key}: {_text(rule, secrets)}"
