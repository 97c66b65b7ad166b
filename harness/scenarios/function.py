"""Measures a Python function: one call is one iteration."""

import functools
import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import BenchmarkFailed, ConfigError, Problem
from harness.runner import Context

_LAZY = {
    inspect.isgeneratorfunction: "a generator",
    inspect.iscoroutinefunction: "a coroutine",
    inspect.isasyncgenfunction: "an asynchronous generator",
}


class FunctionRunner:
    """Wraps any callable: a mapping that it returns holds further metrics, text or bytes the outcome to be hashed.

    The hash is what two deterministic runs of one configuration must share. Any other value is left alone, which an
    event says once; a bare number is an error, because it has no name.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._said = False

    def setup(self, context: Context) -> None:
        """Refuses what only looks like work: calling a generator or coroutine function runs nothing of it.

        Raises:
            ConfigError: the function is one of these.
        """
        for is_lazy, kind in _LAZY.items():
            if is_lazy(_innermost(self._call)):
                raise ConfigError([Problem(_name(self._call), *_lazy_message(kind))])

    def iterate(self, context: Context) -> Mapping[str, float] | None:
        """Calls the function once."""
        result = self._call()
        if result is None or isinstance(result, Mapping):
            return result
        self._take(result, context)
        return None

    def _take(self, result: Any, context: Context) -> None:
        if isinstance(result, str | bytes):
            context.fingerprint(result.encode() if isinstance(result, str) else result)
        elif isinstance(result, int | float) and not isinstance(result, bool):
            raise BenchmarkFailed(
                f"{_name(self._call)} returned the bare number {result!r}",
                "return {'name': number} with the name declared under `metrics:`, or nothing",
            )
        elif inspect.isgenerator(result) or inspect.isawaitable(result) or inspect.isasyncgen(result):
            if inspect.iscoroutine(result):
                result.close()  # else Python warns later, and elsewhere, that it was never awaited
            raise BenchmarkFailed(f"{_name(self._call)}: {_lazy_message(type(result).__name__)[0]}", _LAZY_HINT)
        elif not self._said:
            self._said = True
            context.event("function.result_ignored", function=_name(self._call), type=type(result).__name__)

    def teardown(self) -> None:
        """Nothing is held."""


class Function:
    """Measures `function`, given as `package.module:name`, called with `arguments` by keyword."""

    def __init__(self, *, function: str, arguments: dict[str, Any]) -> None:
        self._function = function
        self._arguments = arguments
        self._runner: FunctionRunner | None = None

    def setup(self, context: Context) -> None:
        """Imports the function and checks the arguments against its signature.

        Raises:
            ConfigError: there is no such function, or it does not take these arguments.
        """
        function = _find(self._function)
        _check_arguments(self._function, function, self._arguments)
        self._runner = FunctionRunner(functools.partial(function, **self._arguments))
        self._runner.setup(context)

    def iterate(self, context: Context) -> Mapping[str, float] | None:
        """Calls the function once."""
        assert self._runner is not None
        return self._runner.iterate(context)

    def teardown(self) -> None:
        """Nothing is held."""


_LAZY_HINT = "wrap it in a function that runs it to its end, such as `def run(): list(work())` or `asyncio.run(work())`"


def _lazy_message(kind: str) -> tuple[str, str]:
    return f"a call gives {kind} and runs nothing of it", _LAZY_HINT


def _innermost(call: Any) -> Any:
    """What a partial or a callable object runs in the end."""
    while hasattr(call, "func"):
        call = call.func
    if not inspect.isroutine(call) and not inspect.isclass(call):
        return getattr(call, "__call__", call)  # noqa: B004 - the bound method itself is looked at
    return call


def _name(call: Any) -> str:
    inner = _innermost(call)
    return str(getattr(inner, "__qualname__", inner))


def _find(path: str) -> Callable[..., Any]:
    place = "scenario.function"
    module_name, colon, name = path.partition(":")
    if not colon or not module_name or not name:
        raise ConfigError([Problem(place, f"must be package.module:name, found {path!r}")])
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        hint = "the current folder and the parent of each --config-dir are on the path"
        raise ConfigError([Problem(place, f"{path!r}: {error}", hint)]) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError([Problem(place, f"{path!r}: there is no {part!r} in it", _near(part, found))])
        found = getattr(found, part)
    if not callable(found):
        raise ConfigError([Problem(place, f"{path!r} is {type(found).__name__}, which cannot be called")])
    return found  # type: ignore[no-any-return]


def _near(name: str, holder: Any) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, dir(holder), 1)
    return f"did you mean {near[0]!r}?" if near else ""


def _check_arguments(path: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # functions written in C may have none; the call itself will tell
    try:
        signature.bind(**arguments)
    except TypeError as error:
        message = f"{path}{signature} does not take {dict(arguments)!r}: {error}"
        raise ConfigError([Problem("scenario.arguments", message, "set scenario.arguments={name: value}")]) from error


def hash_blocks(mebibytes: int = 1) -> str:
    """The SHA-256 of so many blocks of 1 MiB, as text: real work that needs nothing but the standard library."""
    digest = hashlib.sha256()
    block = bytes(range(256)) * 4096
    for _ in range(mebibytes):
        digest.update(block)
    return digest.hexdigest()
