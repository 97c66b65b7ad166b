"""Baselines: what a scenario measured on a device of one host, kept in a folder that is committed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import NotFound, RefusedError, StorageRefused
from harness.paths import data
from harness.results import schema
from harness.results.canonical import digest, pretty
from harness.results.disk import Disk
from harness.results.names import safe
from harness.results.times import now
from harness.results.work import work_digest

SCHEMA = "harness.baseline/1"
CANARY = "canary.duration_ms"  # a reference workload between the iterations, by which comparisons normalise
# What a person wants to know of the host. Versions of libraries are no part of it: to compare them is what baselines
# are for.
FACTS = ("os", "kernel", "machine", "cpu", "memory_mb", "gpu")


def folder() -> Path:
    """The folder of committed baselines: that of the current project, else the shipped one."""
    local = Path("baselines").absolute()
    return local if local.is_dir() else data("baselines")


def path_of(base: Path, scenario: str, device: str) -> Path:
    """The file of a scenario's baseline on a device."""
    return base / safe(scenario) / f"{safe(device)}.json"


def build(result: Mapping[str, Any], replaces: str | None = None) -> dict[str, Any]:
    """The baseline document of a run.

    Raises:
        RefusedError: the run did not complete, measured nothing, failed its rules, was contended, or holds a metric
            that its instrument could not measure.
    """
    reasons = [
        (result["status"] != "completed", f"it is {result['status']}"),
        (not result["metrics"], "it measured nothing"),
        (result["verdict"]["level"] == "fail", "its verdict is fail"),
        (result["contended"], "other runs were measured on the host at the same time"),
        (result.get("unmeasurable"), f"not measurable there: {', '.join(result.get('unmeasurable', ()))}"),
    ]
    for applies, reason in reasons:
        if applies:
            raise RefusedError(f"{result['run_id']} cannot be a baseline: {reason}", "Save a run that completed, alone")
    document = {
        "schema": SCHEMA,
        **{key: result[key] for key in ("scenario", "device", "model", "run_id")},
        "replaces": replaces,
        "saved_at": now(),
        "host": fingerprint(result),
        "config_digest": result["digests"]["config"],
        "work_digest": work_digest(result["config"]),
        "outcome": result["digests"]["outcome"],
        "verdict": result["verdict"]["level"],
        "canary": result["metrics"].get(CANARY),
        "metrics": result["metrics"],
    }
    return {**document, "digest": digest(document)}


def fingerprint(result: Mapping[str, Any]) -> dict[str, Any]:
    """Which host this was; against another fingerprint a comparison is inconclusive."""
    environment = result["environment"]
    facts = {name: environment[name] for name in FACTS if name in environment}
    return {"fingerprint": environment["fingerprint"], "name": environment["hostname"], "facts": facts}


def save(result: Mapping[str, Any], base: Path, disk: Disk | None = None) -> tuple[Path, dict[str, Any]]:
    """Writes the baseline of a run; its file and the document, which names the run that it replaces.

    Raises:
        RefusedError: the run cannot be a baseline.
        StorageRefused: the folder cannot be written.
    """
    path = path_of(base, result["scenario"], result["device"])
    replaced = load(path)["run_id"] if path.exists() else None
    document = build(result, replaced)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (disk or Disk()).write(path, pretty(document))
    except OSError as error:
        raise StorageRefused(
            f"the baseline {path} cannot be written: {error.strerror or error}", "Name another folder with --to"
        ) from error
    return path, document


def load(path: Path) -> dict[str, Any]:
    """A stored baseline.

    Raises:
        NotFound: there is none.
        StoreLost: it cannot be read.
    """
    if not path.exists():
        raise NotFound(f"no baseline {path}", "`python -m harness baseline save RUN_ID` makes one")
    return schema.read(path, "baseline")


def stored(base: Path) -> Iterator[Path]:
    """The files of all baselines in a folder."""
    return iter(sorted(base.glob("*/*.json")))
