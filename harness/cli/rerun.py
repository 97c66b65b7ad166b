"""`rerun`: the configuration that a stored run was made with, measured again."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paths
from harness.cli import arguments, run
from harness.cli.preload import ALWAYS
from harness.errors import ConfigError, Problem, RefusedError
from harness.results.history import History

if TYPE_CHECKING:
    from harness.config.composed import Composed


def main(words: Sequence[str]) -> int:
    """Runs the stored configuration of a run again; the new run names the old one in its tags. Gives its exit code.

    Raises:
        NotFound: no run, or more than one, is meant.
        RefusedError: the run was imported, and nothing that was imported is executed.
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
    refuse_imported(manifest, history.runs)
    config = stored_config(history, run_id)
    preload = [*ALWAYS, *config.get("worker", {}).get("preload", [])]
    with run.launching(preload) as (launcher, cancel):
        config_dirs = config_dirs_of(manifest)
        composed = composed_of(config, manifest, (result or {}).get("choices", {}), [f"rerun_of={run_id}"])
        command = ["harness", "rerun", run_id, *(f"--config-dir={folder}" for folder in config_dirs)]
        return run.single(composed, launcher, cancel, command, run.import_path(config_dirs))


def refuse_imported(manifest: Mapping[str, Any], runs: Path) -> None:
    """Refuses a run whose configuration was written elsewhere.

    Raises:
        RefusedError: the run was imported.
    """
    run_id = manifest["run_id"]
    if manifest["origin"] is not None:
        raise RefusedError(
            f"{run_id} was imported from {manifest['origin']['source']}: its configuration names code of another place",
            f"Read {runs / run_id / 'config.yaml'}, and run what you trust with overrides of your own",
        )


def config_dirs_of(manifest: Mapping[str, Any]) -> list[Path]:
    """The folders of YAML that a run was started with, whichever verb had started it."""
    words = manifest["command"][1:]
    again = words and words[0] in ("rerun", "resume")  # a verb and a run, then the folders
    return arguments.parse(words[2:] if again else words).config_dirs


def stored_config(history: History, run_id: str) -> dict[str, Any]:
    """The configuration that a run was made with.

    Raises:
        ConfigError: it cannot be read, or a secret was taken out of it.
    """
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


def composed_of(
    config: Mapping[str, Any], manifest: Mapping[str, Any], choices: Mapping[str, Any], tags: Sequence[str] = ()
) -> "Composed":
    """A stored configuration as if it had just been composed, with further tags."""
    from harness.config.composed import Composed

    again = json.loads(json.dumps(config))
    again["tags"] = [*again.get("tags", []), *tags]
    chosen = {"scenario": manifest["scenario"], "model": manifest["model"], **choices}
    return Composed(again, chosen, {}, list(manifest["overrides"]), "RUN")
