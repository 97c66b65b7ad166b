"""The record of a suite or sweep: its jobs, what came of each, and so what is left to do when it was cut short."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import StorageRefused
from harness.results import identity, records
from harness.results.canonical import digest, pretty
from harness.results.disk import Disk
from harness.results.manifest import headline
from harness.results.names import new_run_id
from harness.results.records import SUITE, Named
from harness.results.times import now

SCHEMA = "harness.suite/1"
NAME = SUITE.file
_ENDED = ("completed", "failed")


class SuiteRecord:
    """One suite on the disk; every change is whole on the disk when the method returns."""

    def __init__(self, folder: Path, document: dict[str, Any]) -> None:
        self.folder = folder
        self.document = document
        self._disk = Disk()

    @classmethod
    def begin(
        cls,
        outputs: Path,
        *,
        name: str,
        command: Sequence[str],
        overrides: Sequence[str],
        config_dirs: Sequence[str],
        working_folder: Path,
        jobs: Sequence[Mapping[str, Any]],
    ) -> "SuiteRecord":
        """A new record; each job has scenario, overrides and config_digest. All of it is already redacted.

        Raises:
            StorageRefused: the output folder cannot be written.
        """
        suite_id = new_run_id(f"suite.{name}")
        owner = identity.of(os.getpid())
        record = cls(
            records.folder_of(outputs, SUITE, suite_id),
            {
                "schema": SCHEMA,
                "suite_id": suite_id,
                "name": name,
                "status": "running",
                "exit_code": None,
                "created_at": now(),
                "finished_at": None,
                "resumed_at": [],
                "identity": None if owner is None else owner.as_dict(),
                "host": identity.host(),
                "command": list(command),
                "overrides": list(overrides),
                "config_dirs": list(config_dirs),
                "working_folder": str(working_folder),
                "jobs": [{**job, **_PENDING} for job in jobs],
            },
        )
        try:
            record._disk.make_folder(record.folder)
            record._write()
        except OSError as error:
            raise StorageRefused(
                f"the record of the suite cannot be written to {record.folder}: {error.strerror or error}",
                "Make it writable, or set HARNESS_OUTPUTS to another folder",
            ) from error
        return record

    @property
    def suite_id(self) -> str:
        """The name by which it is resumed."""
        return str(self.document["suite_id"])

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs in the order in which they run."""
        return list(self.document["jobs"])

    @property
    def is_alive(self) -> bool:
        """Whether the process that runs it still lives."""
        owner = self.document["identity"]
        return self.document["status"] == "running" and owner is not None and identity.alive(owner)

    @property
    def is_finished(self) -> bool:
        """Whether every job came to an end, good or bad."""
        return all(job["status"] in _ENDED and job["exit_code"] != 2 for job in self.document["jobs"])

    def again(self) -> None:
        """Says that this process goes on with it.

        Raises:
            OSError: it cannot be written.
        """
        owner = identity.of(os.getpid())
        self.document |= {
            "status": "running",
            "exit_code": None,
            "finished_at": None,
            "identity": None if owner is None else owner.as_dict(),
            "resumed_at": [*self.document["resumed_at"], now()],
        }
        self._write()

    def begin_job(self, at: int, run_id: str) -> None:
        """Notes the run that a job has begun, so that it can be gone on with.

        Raises:
            OSError: it cannot be written.
        """
        self.document["jobs"][at] |= {"status": "running", "run_id": run_id}
        self._write()

    def end_job(
        self,
        at: int,
        *,
        status: str,
        exit_code: int,
        run_id: str | None,
        result: Mapping[str, Any] | None,
        message: str,
    ) -> None:
        """Notes what came of a job.

        Raises:
            OSError: it cannot be written.
        """
        measured: dict[str, Any] = {}
        if result is not None:
            resumed = result.get("resumed") or {}
            measured = {
                "reason": result["reason"],
                "verdict": result["verdict"]["level"],
                "duration_s": result["duration_s"],
                "headline": headline(result),
                "resumed_from": resumed.get("from"),
            }
        begun = run_id or self.document["jobs"][at]["run_id"]  # one that was refused may be gone on with later
        ending = {"status": status, "exit_code": exit_code, "run_id": begun, "message": message}
        self.document["jobs"][at] |= {**_PENDING, **measured, **ending}
        self._write()

    def end(self, status: str, exit_code: int) -> None:
        """Notes that no job is left to run.

        Raises:
            OSError: it cannot be written.
        """
        self.document |= {"status": status, "exit_code": exit_code, "finished_at": now()}
        self._write()

    def _write(self) -> None:
        content = {key: value for key, value in self.document.items() if key != "digest"}
        self.document = {**content, "digest": digest(content)}
        self._disk.write(self.folder / NAME, pretty(self.document))
        self._disk.sync_folder(self.folder)


_PENDING: dict[str, Any] = {
    "status": "pending",
    "reason": None,
    "verdict": None,
    "exit_code": None,
    "duration_s": None,
    "headline": None,
    "run_id": None,
    "resumed_from": None,
    "message": "",
}


def load(outputs: Path, suite_id: str) -> SuiteRecord:
    """A stored record.

    Raises:
        StoreLost: it cannot be read, or was changed.
    """
    named = Named(SUITE, suite_id)
    return SuiteRecord(records.folder_of(outputs, *named), records.read(outputs, named))


def of_run(outputs: Path, run_id: str) -> SuiteRecord | None:
    """The newest suite that has begun this run as one of its jobs."""
    for suite_id in reversed(records.ids(outputs, SUITE)):
        if not (records.folder_of(outputs, SUITE, suite_id) / NAME).exists():
            continue  # it was killed before it began a run
        record = load(outputs, suite_id)
        if any(job["run_id"] == run_id for job in record.jobs):
            return record
    return None


def state(document: Mapping[str, Any]) -> str:
    """How a suite stands: its status, or crashed where its process is gone. Of another host nobody can tell here."""
    status, owner = str(document["status"]), document["identity"]
    if status != "running" or document["host"] != identity.host():
        return status
    return status if owner is not None and identity.alive(owner) else "crashed"
