"""What `tag`, `pin` and `note` share: they find the runs, change their manifests, and say what these hold now."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness import paths
from harness.cli.results import tell_recovered
from harness.config.redact import redact, secrets_of
from harness.results.annotate import Change, annotate
from harness.results.canonical import pretty
from harness.results.history import History


def changed(texts: Sequence[str], change: Change) -> list[dict[str, Any]]:
    """The manifests of the runs that are meant, after the change.

    Raises:
        NotFound: no run, or more than one, is meant by a name.
        RefusedError: a run has not ended.
    """
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        run_ids = list(dict.fromkeys(history.find(text) for text in texts))
    finally:
        history.close()
    return annotate(paths.outputs(), run_ids, change)


def tell(
    manifests: Sequence[Mapping[str, Any]], options: argparse.Namespace, said: Callable[[Mapping[str, Any]], str]
) -> int:
    """Prints what the runs hold now, as JSON or in words; 0."""
    if options.json:
        keys = ("run_id", "tags", "pinned", "notes")
        print(pretty([{key: found[key] for key in keys} for found in manifests]).decode(), end="")
        return 0
    for found in manifests:
        print(f"{found['run_id']}: {said(found)}")
    return 0


def without_secrets(text: str) -> str:
    """What a person typed, with the values of secret environment variables and the like taken out."""
    return str(redact(text, secrets_of({}, os.environ)))
