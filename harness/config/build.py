"""Makes the runner that a configuration node describes; used in the worker, where its imports belong."""

import functools
import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf.errors import OmegaConfBaseException

from harness.errors import ConfigError, Problem

METHODS = ("setup", "iterate", "teardown")  # of a harness.runner.Runner; the engine imports this room, not we it
FUNCTION_RUNNER = "harness.scenarios.function.FunctionRunner"  # by name: it is the scenarios that know the engine
_ADVICE = ", set env var HYDRA_FULL_ERROR=1 to see chained exception."
_INTERPOLATION = re.compile(r"(\\*)\$\{")
_FULL_KEY = re.compile(r"\nfull_key: (\S+)\s*$")


def build(node: Mapping[str, Any]) -> Any:
    """The runner of `_target_`: an instance of a class, or a plain function wrapped so that one call is one iteration.

    Nodes inside it that have a `_target_` are built first. Hydra's policy on targets applies to all of them.

    Raises:
        ConfigError: a target cannot be imported or called with these parameters, or is nothing that can be measured.
    """
    dotted = node.get("_target_")
    if not isinstance(dotted, str):
        raise ConfigError([Problem("scenario._target_", "must be given", "name a class or a function")])
    make = _instantiate({"_convert_": "all", **_literal(dict(node))}, dotted)
    target = make.func
    if not isinstance(target, type):
        # Hydra has checked the target; its own partial object would check every result too, for 0.14 ms a call.
        return _function_runner(functools.partial(target, *make.args, **make.keywords))
    try:
        made = make()
    except (TypeError, ValueError) as error:
        raise ConfigError([Problem("scenario", f"{dotted} refuses its parameters: {error}")]) from error
    missing = [name for name in METHODS if not callable(getattr(made, name, None))]
    if not missing:
        return made
    if callable(made):
        return _function_runner(made)
    hint = "a runner has setup(context), iterate(context) and teardown(); a function is measured as it is"
    message = f"{dotted} cannot be measured: it has no {', '.join(missing)}"
    raise ConfigError([Problem("scenario._target_", message, hint)])


def partial_of(node: Mapping[str, Any], place: str) -> functools.partial[Any]:
    """The function or class that a node names with the node's parameters, not called yet; `place` is for messages.

    Raises:
        ConfigError: it cannot be imported, or a node inside it cannot be built.
    """
    dotted = node.get("_target_")
    if not isinstance(dotted, str):
        raise ConfigError([Problem(f"{place}._target_", "must be given", "name a function")])
    try:
        made: functools.partial[Any] = _instantiate({"_convert_": "all", **_literal(dict(node))}, dotted)
    except ConfigError as error:
        placed = [one._replace(place=place + one.place.removeprefix("scenario")) for one in error.problems]
        raise ConfigError(placed) from error
    return made


def _literal(value: Any) -> Any:
    """The same with every `${` escaped: what is resolved already, as a variable of a shell, must stay as it is.

    Twice, because Hydra resolves the whole node and then each value of it.
    """
    if isinstance(value, Mapping):
        return {key: _literal(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_literal(below) for below in value]
    return _escaped(_escaped(value)) if isinstance(value, str) else value


def _escaped(text: str) -> str:
    return _INTERPOLATION.sub(r"\1\1\\${", text)


def _instantiate(node: dict[str, Any], dotted: str) -> Any:
    try:
        return instantiate(node, _partial_=True)
    except InstantiationException as error:
        raise ConfigError([_refusal(error)]) from error
    except (TypeError, OmegaConfBaseException) as error:
        raise ConfigError([Problem("scenario", f"{dotted} cannot be built: {error}")]) from error


def _refusal(error: InstantiationException) -> Problem:
    """Hydra's message on one line, with the path of the node and the exception behind it."""
    text = str(error)
    inner = _FULL_KEY.search(text)
    cause = error.__cause__
    message = _FULL_KEY.sub("", text).replace(_ADVICE, "")
    if cause is not None and repr(cause) not in text:
        message = f"{message} ({type(cause).__name__}: {cause})"
    return Problem(f"scenario.{inner[1]}" if inner else "scenario", " ".join(message.split()))


def _function_runner(call: Callable[..., Any]) -> Any:
    module, _, name = FUNCTION_RUNNER.rpartition(".")
    return getattr(importlib.import_module(module), name)(call)
