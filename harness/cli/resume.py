"""`resume`: a run or a suite that did not come to its end is gone on with, without repeating what was measured."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paths
from harness.cli import run
from harness.cli.preload import ALWAYS
from harness.cli.rerun import composed_of, config_dirs_of, refuse_imported, stored_config
from harness.cli.results import tell_recovered
from harness.errors import RefusedError
from harness.results import records
from harness.results.history import History

if TYPE_CHECKING:
    from harness.engine.resume import Past
    from harness.results.suite import SuiteRecord

_EPILOG = (
    "Iterations that were measured to their end are kept, and steps of a pipeline that had finished; the rest is "
    "measured in a new run, whose result says where it went on from. Host and configuration must be the same."
)


def main(words: Sequence[str]) -> int:
    """Goes on with a stored run or suite, or lists those that can be gone on with; the exit code of what then ran.

    Raises:
        NotFound: no run or suite, or more than one, is meant.
        RefusedError: it still lives, has completed, was imported, or host, configuration or software differ.
    """
    parser = argparse.ArgumentParser(
        prog="python -m harness resume", description="Goes on with a run or a suite that was cut short.", epilog=_EPILOG
    )
    parser.add_argument("what", help="the id of a run or a suite, its beginning, its last six digits, or `last`")
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on although libraries or the commit changed; the result says so",
    )
    options = parser.parse_args(list(words))
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        named = records.find(history, options.what, [records.SUITE])
        record = _suite(history, named, newest=options.what == "last")
        if record is not None:
            return _go_on_suite(history, record, options.accept_changes)
        return _go_on(history, named.id, options.accept_changes)
    finally:
        history.close()


def _suite(history: History, named: records.Named, *, newest: bool) -> "SuiteRecord | None":
    """The suite that is meant; `last` means the one of which the newest run is a part, where that is unfinished."""
    from harness.results import suite

    if not newest:
        return suite.load(history.outputs, named.id) if named.kind is records.SUITE else None
    record = suite.of_run(history.outputs, named.id)
    return None if record is None or record.is_finished else record


def _go_on(history: History, run_id: str, accepts: bool) -> int:
    manifests = newest_of(history, run_id)
    for manifest in manifests:
        refuse_imported(manifest, history.runs)
    newest = manifests[0]
    if newest["status"] == "completed":
        done = run_id if newest["run_id"] == run_id else f"{run_id} was resumed by {newest['run_id']}, which"
        raise RefusedError(f"{done} has completed", f"`python -m harness rerun {run_id}` measures it again")
    refuse_living(newest)
    config = unchanged_config(history, newest)
    with run.launching([*ALWAYS, *config.get("worker", {}).get("preload", [])]) as (launcher, cancel):
        from harness.engine.resume import choices_of

        past = past_of(history, manifests, accepts)
        config_dirs = config_dirs_of(newest)
        composed = composed_of(config, newest, choices_of(past.folders[0]))
        command = ["harness", "resume", newest["run_id"], *(f"--config-dir={folder}" for folder in config_dirs)]
        return run.single(composed, launcher, cancel, command, run.import_path(config_dirs), past)


def _go_on_suite(history: History, record: "SuiteRecord", accepts: bool) -> int:
    """Runs the jobs that are left; those that came to an end stand in the table as they are."""
    from harness.cli.arguments import Arguments
    from harness.cli.suite import Jobs
    from harness.config.redact import MASK

    known = record.document
    if record.is_finished:
        raise RefusedError(f"every job of {record.suite_id} has come to its end", "start it anew to measure it again")
    if record.is_alive:
        raise RefusedError(f"{record.suite_id} still runs in process {known['identity']['pid']}", "wait for its end")
    _same_host(record.suite_id, known["host"])
    if str(Path.cwd()) != known["working_folder"]:
        raise RefusedError(
            f"{record.suite_id} was started in {known['working_folder']}, which its relative paths mean",
            f"cd {known['working_folder']}, then resume it",
        )
    if any(MASK in word for word in known["overrides"]):
        raise RefusedError(
            f"a secret was taken out of the overrides of {record.suite_id}",
            "start the suite anew, and name the secret's environment variable in the configuration",
        )
    arguments = Arguments(known["overrides"], [Path(folder) for folder in known["config_dirs"]])
    return run.measure(arguments, ["harness", "resume", record.suite_id], Jobs(record, history, accepts))


def newest_of(history: History, run_id: str) -> list[dict[str, Any]]:
    """The manifests of a run's whole line, newest first: what went on from it, itself, and what it went on from."""
    found = [history.manifest(run_id)]
    while (later := _resumed_by(history, found[0])) is not None:
        found.insert(0, later)
    while (earlier := found[-1]["resumed_from"]) is not None and (history.runs / earlier).is_dir():
        found.append(history.manifest(earlier))
    return found


def refuse_living(manifest: Mapping[str, Any]) -> None:
    """Refuses a run that another process is at, or that another host measured.

    Raises:
        RefusedError: it is one of these.
    """
    if manifest["status"] in ("running", "pending"):
        raise RefusedError(f"{manifest['run_id']} is still {manifest['status']}", "wait for its end, or cancel it")
    _same_host(manifest["run_id"], manifest["host"])


def _resumed_by(history: History, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The newest run that went on from this one."""
    from harness.results.times import epoch

    rows = history.index.find(scenario=manifest["scenario"], since=epoch(manifest["created_at"]))
    for row in rows:
        found = history.manifest(row["run_id"])
        if found["resumed_from"] == manifest["run_id"]:
            return found
    return None


def _same_host(name: str, host: str) -> None:
    from harness.results import identity

    here = identity.host()
    if host != here:
        raise RefusedError(
            f"{name} was measured on {host}, and this is {here}", "Resume it there, or measure it anew here"
        )


def unchanged_config(history: History, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The stored configuration, which still is the one that the run was started with.

    Raises:
        RefusedError: somebody has changed it.
        ConfigError: it cannot be read, or a secret was taken out of it.
    """
    from harness.results.canonical import digest

    config = stored_config(history, manifest["run_id"])
    if digest(config) != manifest["config_digest"]:
        raise RefusedError(
            f"{history.runs / manifest['run_id'] / 'config.yaml'} was changed since the run was started",
            "Put it back to go on with the run, or start a new one with the values that you want",
        )
    return config


def past_of(history: History, manifests: Sequence[Mapping[str, Any]], accepts_changes: bool) -> "Past":
    """What is taken over: from the newest of these runs that kept most, since one may have been cut short early."""
    from harness.engine.resume import read_past

    folders = [history.runs / manifest["run_id"] for manifest in manifests]
    found = [
        read_past(manifest["run_id"], folders[at:], accepts_changes=accepts_changes)
        for at, manifest in enumerate(manifests)
    ]
    best = max(found, key=lambda past: past.iterations)
    return best.anew() if _failed_by_itself(manifests[0]) else best


def _failed_by_itself(manifest: Mapping[str, Any]) -> bool:
    """Whether the work itself broke in every iteration: then the iterations are what is to be tried again."""
    return manifest["status"] == "failed" and (manifest["reason"] or {}).get("kind") == "error"
