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
    print_suite([_row(job) for job in jobs], name)
    lines = [f"  {job.scenario}: {job.status}: {job.message}" for job in jobs if job.result is None and job.message]
    proof = proof_table([job.result["verdict"] for job in jobs if job.result is not None], "simple")
    lines += ["", proof] if proof else []
    ranking = ranking_table([(job.overrides, job.result) for job in jobs if job.result is not None], "simple")
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
    }
