"""`rerun`: the configuration that a stored run was made with, measured again."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness import paths
from harness.cli import arguments, run
from harness.cli.preload import ALWAYS
from harness.errors import ConfigError, Problem
from harness.results.history import History


def main(words: Sequence[str]) -> int:
    """Runs the stored configuration of a run again; the new run names the old one in its tags. Gives its exit code.

    Raises:
        NotFound: no run, or more than one, is meant.
        ConfigError: the stored configuration is not one of this version, or a secret was taken out of it.
    """
    parser = argparse.ArgumentParser(prog="python -m harness rerun", description="Measures a stored run again.")
    parser.add_argument("run", help="a run id, its beginning, its last six digits, or `last`")
    options = parser.parse_args(list(words))
    history = History(paths.outputs())
    try:
        history.recover()
        run_id = history.find(options.run)
        manifest, result = history.manifest(run_id), history.result(run_id)
    finally:
        history.close()
    config = _stored(history, run_id)
    preload = [*ALWAYS, *config.get("worker", {}).get("preload", [])]
    with run.launching(preload) as (launcher, cancel):
        composed = _composed(config, manifest, result)
        config_dirs = arguments.parse(manifest["command"][1:]).config_dirs
        return run.single(composed, launcher, cancel, ["harness", "rerun", run_id], run.import_path(config_dirs))


def _stored(history: History, run_id: str) -> dict[str, Any]:
    import yaml

    from harness.config.redact import MASK

    path = history.runs / run_id / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error}")]) from error
    if not isinstance(config, dict):
        raise ConfigError([Problem(str(path), "is not the configuration of a run")])
    masked = [key for key, value in _leaves(config) if MASK in str(value)]
    if masked:
        hint = "run it anew with its overrides, or name the secret's environment variable in the configuration"
        raise ConfigError(
            [Problem(f"{path}: {key}", "a secret was taken out of the stored value", hint) for key in masked]
        )
    return config


def _leaves(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{place}.{key}" if place else str(key))
    else:
        yield place, node


def _composed(config: dict[str, Any], manifest: Mapping[str, Any], result: Mapping[str, Any] | None) -> Any:
    from harness.config.composed import Composed

    choices = {"scenario": manifest["scenario"], "model": manifest["model"], **(result or {}).get("choices", {})}
    again = json.loads(json.dumps(config))
    again["tags"] = [*again.get("tags", []), f"rerun_of={manifest['run_id']}"]
    return Composed(again, choices, {}, list(manifest["overrides"]), "RUN")
