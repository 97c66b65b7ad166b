"""What a running suite keeps of itself, and what of an earlier attempt it need not do again."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.arguments import Arguments
from harness.errors import RefusedError, StorageRefused
from harness.results.history import History
from harness.results.suite import SuiteRecord

if TYPE_CHECKING:
    from harness.config.composed import Composed
    from harness.config.spec import RunSpec
    from harness.engine.resume import Past
    from harness.engine.run import Ended


class Jobs:
    """The jobs of the suite that is running, in their order, each noted as it begins and as it ends.

    A listener of the event stream: it learns from there which run a job has begun. A record that can no longer be
    written ends no suite; it is said once, since the suite then cannot be resumed.
    """

    def __init__(self, record: SuiteRecord, history: History | None = None, accepts_changes: bool = False) -> None:
        """`history` is where an earlier attempt's runs lie; None when this is the first."""
        self.record = record
        self._history = history
        self._accepts = accepts_changes
        self._at = -1
        self._is_kept = True

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Takes one event of the stream."""
        if event["event"] == "run.started":
            self._note(lambda: self.record.begin_job(self._at, event["run_id"]))

    def earlier(self, spec: "RunSpec") -> "Ended | Past | None":
        """What an earlier attempt has left of the next job: its outcome, a run to go on from, or nothing.

        Raises:
            RefusedError: its run cannot be gone on with here.
        """
        self._at += 1
        job = self.record.jobs[self._at]
        run_id = job["run_id"]
        if self._history is None or run_id is None:
            return None
        from harness.cli.resume import newest_of, past_of, refuse_living

        manifests = newest_of(self._history, run_id)
        result = self._history.result(manifests[0]["run_id"])
        ended = manifests[0]["status"] in ("completed", "failed")
        if ended and result is not None and (job["status"] != "cancelled" or manifests[0]["status"] == "completed"):
            return self._outcome(spec, manifests[0], result)
        refuse_living(manifests[0])
        if manifests[0]["config_digest"] != spec.digest:
            raise RefusedError(f"the configuration is not that of {run_id}", "start the suite anew")
        return past_of(self._history, manifests, self._accepts)

    def _outcome(self, spec: "RunSpec", manifest: Mapping[str, Any], result: Mapping[str, Any]) -> "Ended":
        from harness.engine.run import Ended

        folder = self._history.runs / manifest["run_id"] if self._history else None
        return Ended(
            spec.scenario,
            manifest["status"],
            manifest["exit_code"],
            spec.overrides,
            manifest["run_id"],
            folder,
            result,
            (manifest["reason"] or {}).get("message", ""),
        )

    def ended(self, job: "Ended") -> None:
        """Notes what came of the job that `earlier` was asked for last."""
        self._note(
            lambda: self.record.end_job(
                self._at,
                status=job.status,
                exit_code=job.exit_code,
                run_id=job.run_id,
                result=job.result,
                message=job.message,
            )
        )

    def end(self, exit_code: int) -> None:
        """Notes the end of the suite."""
        self._note(lambda: self.record.end("cancelled" if exit_code == 130 else "completed", exit_code))

    def _note(self, write: Any) -> None:
        try:
            write()
        except OSError as error:
            if self._is_kept:
                self._is_kept = False
                print(f"{self.record.folder} cannot be written: {error}; no resume will be possible", file=sys.stderr)


def begin(
    outputs: Path, whole: "Composed", jobs: Sequence["Composed"], arguments: Arguments, command: Sequence[str]
) -> Jobs:
    """A new record of these jobs.

    Raises:
        StorageRefused: it cannot be written.
    """
    import os

    from harness.config.redact import redact, secrets_of

    secrets = frozenset[str]().union(*(secrets_of(one.config, os.environ) for one in [whole, *jobs]))
    record = SuiteRecord.begin(
        outputs,
        name=name_of(whole),
        command=redact(list(command), secrets),
        overrides=redact([*arguments.overrides, *(["hydra.mode=MULTIRUN"] if arguments.multirun else [])], secrets),
        config_dirs=[str(folder) for folder in arguments.config_dirs],
        working_folder=Path.cwd(),
        jobs=_described(jobs, secrets),
    )
    print(f"{name_of(whole)}: {len(jobs)} jobs, suite {record.suite_id}", file=sys.stderr)
    return Jobs(record)


def name_of(whole: "Composed") -> str:
    """What a person calls it."""
    return str(whole.config.get("suite") or whole.config.get("experiment") or "sweep")


def matching(jobs: Sequence["Composed"], earlier: Jobs) -> Jobs:
    """The jobs of an earlier attempt, which are those that the same words amount to now.

    Raises:
        RefusedError: the configuration of a job has changed since.
        StorageRefused: the record cannot be written.
    """
    was, now = earlier.record.jobs, _described(jobs, frozenset())
    changed = [
        f"job {at + 1}, {before['scenario']}"
        for at, (before, job) in enumerate(zip(was, now, strict=False))
        if (before["scenario"], before["config_digest"]) != (job["scenario"], job["config_digest"])
    ]
    if len(was) != len(now):
        changed.append(f"there were {len(was)} jobs, now {len(now)}")
    if changed:
        raise RefusedError(
            f"the configuration of {earlier.record.suite_id} has changed since it was started: {'; '.join(changed)}",
            "Put the YAML files and defaults back to go on with it, or start the suite anew",
        )
    try:
        earlier.record.again()
    except OSError as error:
        raise StorageRefused(f"{earlier.record.folder} cannot be written: {error.strerror or error}") from error
    return earlier


def _described(jobs: Sequence["Composed"], secrets: frozenset[str]) -> list[dict[str, Any]]:
    from harness.config.redact import redact
    from harness.config.spec import RunSpec

    specs = [RunSpec.from_composed(job) for job in jobs]
    return [
        {
            "scenario": spec.scenario,
            "overrides": redact(list(spec.overrides), secrets | spec.secrets),
            "config_digest": spec.digest,
        }
        for spec in specs
    ]
