"""Records of suites in every state, made through the code that makes them."""

from pathlib import Path
from typing import Any

from harness.results.suite import SuiteRecord
from tests.results.documents import a_result

JOBS = [{"scenario": name, "overrides": [f"scenario={name}"], "config_digest": 64 * "a"} for name in ("one", "two")]


def a_suite(outputs: Path, **about: Any) -> SuiteRecord:
    """A suite of two jobs that this process has just begun."""
    return SuiteRecord.begin(
        outputs,
        **{
            "name": "nightly",
            "command": ["harness", "suite=nightly"],
            "overrides": ["suite=nightly"],
            "config_dirs": [],
            "working_folder": Path.cwd(),
            "jobs": JOBS,
            **about,
        },
    )


def ended(record: SuiteRecord, at: int, **about: Any) -> SuiteRecord:
    """The same with a job that came to its end."""
    record.begin_job(at, f"run-{at}")
    ending = {"status": "completed", "exit_code": 0, "run_id": f"run-{at}", "result": a_result(), "message": ""}
    record.end_job(at, **{**ending, **about})
    return record


def in_every_state(outputs: Path) -> list[dict[str, Any]]:
    """The documents of suites that have just begun, run, ended, and been gone on with."""
    begun, running, whole = a_suite(outputs), a_suite(outputs), a_suite(outputs)
    running.begin_job(0, "run-0")
    ended(ended(whole, 0), 1, status="failed", exit_code=3, result=None, message="it broke").end("completed", 3)
    documents = [begun.document, running.document, dict(whole.document)]
    whole.again()
    return [*documents, whole.document]


def a_step() -> dict[str, Any]:
    """The record of a step of a pipeline that left a file and a number."""
    artifact = {"path": "deep/made.txt", "bytes": 4, "sha256": 64 * "b"}
    return {
        "schema": "harness.step/1",
        "name": "make",
        "duration_s": 0.5,
        "metrics": [["a.b", 1.5]],
        "artifacts": [artifact],
    }
