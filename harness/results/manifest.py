"""The manifest of a run: who ran what, when, where, and how it ended; small, and rewritten at each change of state."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.results.names import new_run_id
from harness.results.times import now

SCHEMA = "harness.manifest/2"
FINAL = frozenset({"completed", "failed", "skipped", "cancelled", "crashed"})
UNFINISHED = ("pending", "running")
_HEADLINE = ("n", "mean", "p50", "p95", "p99")


def new_manifest(
    *,
    scenario: str,
    device: str,
    model: str | None,
    trace_id: str,
    status: str,
    command: Sequence[str],
    overrides: Sequence[str],
    tags: Sequence[str],
    config_digest: str | None,
    work_digest: str | None = None,
    resumed_from: str | None = None,
) -> dict[str, Any]:
    """The manifest of a run that this process is about to start."""
    import getpass
    import os

    from harness.results import identity  # late: verbs that only read manifests do without

    created = now()
    owner = identity.of(os.getpid())
    return {
        "schema": SCHEMA,
        "run_id": new_run_id(scenario),
        "trace_id": trace_id,
        "scenario": scenario,
        "device": device,
        "model": model,
        "status": status,
        "reason": None,
        "created_at": created,
        "started_at": created if status == "running" else None,
        "finished_at": None,
        "recovered_at": None,
        "duration_s": None,
        "identity": None if owner is None else owner.as_dict(),
        "user": _or_none(getpass.getuser),
        "host": identity.host(),
        "command": list(command),
        "overrides": list(overrides),
        "tags": list(tags),
        "pinned": False,
        "notes": [],
        "origin": None,
        "config_digest": config_digest,
        "work_digest": work_digest,
        "verdict": None,
        "exit_code": None,
        "completed_iterations": 0,
        "error_rate": None,
        "headline": None,
        "resumed_from": resumed_from,
        "steps": [],
        "eta": None,
        "artifacts": [],
    }


def finished(manifest: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a run whose result is on the disk."""
    return {
        **manifest,
        **{
            key: result[key]
            for key in ("status", "reason", "device", "model", "started_at", "finished_at", "duration_s")
        },
        "verdict": result["verdict"]["level"],
        "exit_code": result["exit_code"],
        "completed_iterations": result["iterations"]["completed"],
        "error_rate": result["iterations"]["error_rate"],
        "config_digest": result["digests"]["config"],
        "headline": headline(result),
    }


def crashed(
    manifest: Mapping[str, Any], completed_iterations: int, steps: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The manifest of a run whose supervisor went away before the result was written."""
    owner = manifest.get("identity") or {}
    message = (
        f"the supervising process {owner.get('pid', 'of unknown id')} on {manifest['host']} ended before the run did"
    )
    return {
        **manifest,
        "status": "crashed",
        "reason": {"kind": "lost", "message": message},
        "exit_code": 3,
        "completed_iterations": completed_iterations,
        "steps": list(steps),
        "recovered_at": now(),
    }


def headline(result: Mapping[str, Any], name: str | None = None) -> dict[str, Any] | None:
    """The one metric that stands for a run in lists (`name`, or that which was judged), None without any."""
    from harness.results import document  # late: verbs that only read manifests do without statistics

    name = name or document.main_metric(result)
    if name is None:
        return None
    metric = result["metrics"][name]
    return {"metric": name, "unit": metric["unit"], **{stat: metric["statistics"][stat] for stat in _HEADLINE}}


def measured_iterations(samples: Path) -> int:
    """How many measured iterations a sample file of a killed run holds, from its header alone."""
    from harness.measure.samples import MAGIC, Phase, Word

    count = max(Word) + 1
    try:
        with samples.open("rb") as file:
            words = struct.unpack(f"<{count}q", file.read(8 * count))
    except (OSError, struct.error):
        return 0
    if words[Word.MAGIC] != MAGIC:
        return 0
    return int(words[Word.KEPT if words[Word.PHASE] < Phase.MEASURE else Word.COMPLETED])


def _or_none(ask: Any) -> str | None:
    """The login's name; a container may run under a user id without one."""
    try:
        return str(ask())
    except (OSError, KeyError, ImportError):
        return None
