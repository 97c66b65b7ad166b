"""The one table of a suite or sweep: a row for every job, also for those that were refused or skipped."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from harness.report.console import print_suite
from harness.report.proof import proof_table
from harness.report.ranking import ranking_table
from harness.results.manifest import headline


class Job(Protocol):
    """What came of a job."""

    @property
    def scenario(self) -> str:
        """What was to be measured."""

    @property
    def status(self) -> str:
        """How it ended."""

    @property
    def overrides(self) -> Sequence[str]:
        """The job's own words."""

    @property
    def run_id(self) -> str | None:
        """The run in the store, None where none was started."""

    @property
    def result(self) -> Mapping[str, Any] | None:
        """The result document, None where nothing was measured."""

    @property
    def message(self) -> str:
        """Why it ended as it did."""


def print_ended(jobs: Sequence[Job], name: str) -> None:
    """Prints the table of all jobs under the suite's name, and why those without a result have none."""
    _print([_row(job) for job in jobs], name, [job.result for job in jobs])


def print_stored(document: Mapping[str, Any], results: Sequence[Mapping[str, Any] | None]) -> None:
    """Prints the same table from the suite's record, and the result document of each of its jobs where it is stored."""
    _print([{**job, "run_id": job["run_id"] or "-"} for job in document["jobs"]], str(document["name"]), results)


def _print(rows: Sequence[Mapping[str, Any]], name: str, results: Sequence[Mapping[str, Any] | None]) -> None:
    print_suite(rows, name)
    lines = [
        f"  {row['scenario']}: {row['status']}: {row['message']}"
        for row in rows
        if row["verdict"] is None and row["message"]
    ]
    found = [(row["overrides"], result) for row, result in zip(rows, results, strict=True) if result is not None]
    proof = proof_table([result["verdict"] for _, result in found], "simple")
    lines += ["", proof] if proof else []
    ranking = ranking_table(found, "simple")
    lines += ["", ranking] if ranking else []
    if lines:
        print("\n".join(lines))  # noqa: T201 - a report on the terminal


def _row(job: Job) -> dict[str, Any]:
    result = job.result
    return {
        "scenario": job.scenario,
        "overrides": list(job.overrides),
        "status": job.status,
        "reason": result["reason"] if result else None,
        "verdict": result["verdict"]["level"] if result else None,
        "duration_s": result["duration_s"] if result else None,
        "headline": headline(result) if result else None,
        "run_id": job.run_id or "-",
        "message": job.message,
    }
