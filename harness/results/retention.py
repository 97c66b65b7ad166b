"""Which runs, suites and comparisons may go, and taking them away so that a kill in between leaves no half of one."""

import math
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import StorageRefused, StoreLost
from harness.results import baseline, manifest, records, schema
from harness.results.annotate import changing
from harness.results.history import History
from harness.results.names import named_at
from harness.results.records import SUITE, Kind, Named
from harness.results.times import epoch

DAYS = 90.0
NEWEST = 20
_TRASH = ".pruned"
_DAY_S = 86400.0


class Plan(NamedTuple):
    """Those of one kind that go, oldest first, and those beyond the age that stay, with the reason of each."""

    going: list[str]
    staying: dict[str, str]


def plan(history: History, protected: Collection[str], at: float, days: float = DAYS, newest: int = NEWEST) -> Plan:
    """What prune would take: runs older than `days`, none of the `newest`, none that is pinned, protected or running.

    The age of an imported run counts from its import: it was brought here to be kept a while. `at` is now, in seconds
    since 1970.
    """
    rows = history.index.find()
    going, staying = [], {}
    for rank, row in enumerate(rows):
        if row["created"] > at - days * _DAY_S:
            continue
        reason = _reason(history, row["run_id"], rank, protected, at - days * _DAY_S, newest)
        if reason is None:
            going.append(row["run_id"])
        else:
            staying[row["run_id"]] = reason
    return Plan(going[::-1], staying)


def _reason(
    history: History, run_id: str, rank: int, protected: Collection[str], before: float, newest: int
) -> str | None:
    """Why a run of that age stays; its manifest is asked, as the index is only a cache."""
    if rank < newest:
        return f"one of the newest {newest}"
    if run_id in protected:
        return "a baseline"
    try:
        known = history.manifest(run_id)
    except StoreLost:
        return "its manifest cannot be read"
    return _reason_of(known, before, (history.outputs / "active" / run_id).exists())


def _reason_of(known: Mapping[str, Any], before: float, active: bool) -> str | None:
    if known["status"] not in manifest.FINAL or active:
        return f"{known['status']}, and its process may live"
    if known["pinned"]:
        return "pinned"
    if known["origin"] is not None and epoch(known["origin"]["imported_at"]) > before:
        return f"imported {known['origin']['imported_at'][:10]}"
    return None


def plan_records(
    outputs: Path, kind: Kind, going: Collection[str], at: float, days: float = DAYS, newest: int = NEWEST
) -> Plan:
    """What prune would take of the suites or comparisons once the runs in `going` are gone; the id tells the age.

    None of the `newest`, no suite that runs or holds a run that stays, and nothing that cannot be read. A comparison
    without a report may still run, so it stays a day in any case.
    """
    gone, staying = [], {}
    for rank, record_id in enumerate(reversed(records.ids(outputs, kind))):
        stamp = named_at(record_id)
        age_s = None if stamp is None else at - epoch(stamp)
        if age_s is not None and age_s < days * _DAY_S:
            continue
        named = Named(kind, record_id)
        reason = f"one of the newest {newest}" if rank < newest else _reason_of_record(outputs, named, going, age_s)
        if reason is None:
            gone.append(record_id)
        else:
            staying[record_id] = reason
    return Plan(gone[::-1], staying)


def _reason_of_record(outputs: Path, named: Named, going: Collection[str], age_s: float | None) -> str | None:
    """Why a suite or comparison of that age stays."""
    if age_s is None:
        return "its name does not say when it was begun"
    if records.is_open(outputs, named):
        return "it has no report, and may still run" if age_s < _DAY_S else None
    try:
        document = records.read(outputs, named)
    except StoreLost:
        return "it cannot be read"
    if named.kind is not SUITE:
        return None
    from harness.results import suite

    if suite.state(document) == "running":
        return "running, and its process may live"
    begun = {job["run_id"] for job in document["jobs"]} - {None, *going}
    return "it holds a run that stays" if any((outputs / "runs" / run_id).exists() for run_id in begun) else None


def protected(folders: Iterable[Path]) -> set[str]:
    """The runs that baselines name.

    Raises:
        StoreLost: a baseline cannot be read, so nobody knows which run it would protect.
    """
    return {baseline.load(path)["run_id"] for folder in folders for path in baseline.stored(folder)}


def remove(outputs: Path, run_ids: Sequence[str], others: Mapping[Kind, Sequence[str]] | None = None) -> int:
    """Takes runs away, then suites and comparisons; the bytes freed. Each folder is renamed before its files go.

    Raises:
        StorageRefused: the store cannot be written.
    """
    trash, freed = outputs / _TRASH, 0

    def take(folder: Path) -> int:
        size = _size(folder)
        folder.rename(trash / f"{folder.name}.{os.getpid()}")
        return size

    try:
        with changing(outputs):
            trash.mkdir(exist_ok=True)
            for run_id in run_ids:
                folder = outputs / "runs" / run_id
                freed += 0 if _reads_as_kept(folder) else take(folder)
            for kind, record_ids in (others or {}).items():
                for record_id in record_ids:
                    folder = records.folder_of(outputs, kind, record_id)
                    # Since the plan was made it may be gone on with, or a run of it was pinned.
                    if folder.exists() and _reason_of_record(outputs, Named(kind, record_id), (), math.inf) is None:
                        freed += take(folder)
            shutil.rmtree(trash)  # also what a killed prune has left
    except OSError as error:
        raise StorageRefused(
            f"the store {outputs} cannot be written: {error.strerror or error}", "Make it writable"
        ) from error
    return freed


def _reads_as_kept(folder: Path) -> bool:
    """Whether the run was pinned or went since the plan was made."""
    if not folder.exists():
        return True
    known = schema.read(folder / "manifest.json", "manifest")
    return bool(known["pinned"]) or known["status"] not in manifest.FINAL


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
