"""Where the page of flags reads its defaults: the composed configuration, and the parsers of the verbs."""

import argparse
import contextlib
import functools
import io
import os
import shlex
from typing import Any
from unittest.mock import patch

from harness.cli.verbs import VERBS, dispatch
from harness.config.compose import compose
from harness.config.composed import Composed


@functools.cache
def configured(option: str = "") -> Composed:
    """What these overrides compose to on any machine: no variable of the harness in the environment has a say."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_")}
    with patch.dict(os.environ, own, clear=True):
        return compose(option.split())


def value_at(composed: Composed, key: str) -> Any:
    """The value of a dotted key.

    Raises:
        KeyError: there is no such key.
    """
    value: Any = composed.config
    for name in key.split("."):
        if not isinstance(value, dict):
            raise KeyError(key)
        value = value[name]
    return value


def option_of(words: str) -> argparse.Action | None:
    """The option that `VERB --option` names, None where a verb alone is named.

    Raises:
        KeyError: there is no such verb, or it has no such option.
    """
    parts = shlex.split(words)
    verbs = tuple(part for part in parts if not part.startswith("-"))
    parser = _parser_of(verbs)
    named = [part for part in parts if part.startswith("-")]
    if parser is None or len(named) > 1:
        raise KeyError(words)
    return parser._option_string_actions[named[0]] if named else None


@functools.cache
def _parser_of(verbs: tuple[str, ...]) -> argparse.ArgumentParser | None:
    """The parser that would print the help of these verbs; None where there is none."""
    if not verbs or verbs[0] not in VERBS:
        return None
    asked: list[argparse.ArgumentParser] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(argparse.ArgumentParser, "print_help", lambda parser: asked.append(parser)))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        stack.enter_context(contextlib.suppress(SystemExit))
        dispatch([*verbs, "--help"])
    return asked[0] if asked else None
