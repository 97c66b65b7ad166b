"""The verb `run`: compose, check, measure, report. The only place with a `hydra.main`, which sweeps go through."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from harness.cli.arguments import Arguments, parse
from harness.cli.preload import ALWAYS, guess
from harness.engine.signals import CancelRequest, catching_signals
from harness.errors import Cancelled, ConfigError, HarnessError, Problem
from harness.process.launcher import Launcher

if TYPE_CHECKING:  # composing costs 0.2 s of import, which the zygote spends importing what it needs
    from harness.cli.suite import Jobs
    from harness.config.composed import Composed
    from harness.config.spec import RunSpec
    from harness.engine.resume import Past
    from harness.engine.run import Ended, Engine

SIGNATURES_S = 60.0  # for a user's module to be imported and its signatures read


def main(words: Sequence[str]) -> int:
    """Runs what the overrides describe and gives the exit code.

    Raises:
        ConfigError: all problems of the configuration and of the arguments.
        HarnessError: the run was refused, or could not be kept.
    """
    arguments = parse(words)
    if arguments.help:
        from harness.cli.verbs import usage

        print(usage())
        return 0
    return measure(arguments, ["harness", *words])


def measure(arguments: Arguments, command: Sequence[str], earlier: "Jobs | None" = None) -> int:
    """Composes, checks and runs one job or all jobs of a sweep, which may be gone on with from an `earlier` attempt.

    Raises:
        HarnessError: the run or the sweep was refused, or could not be kept.
    """
    with launching(guess(arguments.overrides, arguments.config_dirs)) as (launcher, cancel):
        from harness.config.compose import compose_all

        overrides = arguments.overrides + (["hydra.mode=MULTIRUN"] if arguments.multirun else [])
        whole, jobs = compose_all(overrides, arguments.config_dirs)
        path = import_path(arguments.config_dirs)
        if whole.mode == "RUN":
            return single(whole, launcher, cancel, command, path)
        check_jobs([whole, *jobs], launcher, cancel, path)
        from harness.cli.suite import begin, matching
        from harness.paths import outputs

        engine = engine_for(launcher, cancel, command, path)
        noted = matching(jobs, earlier) if earlier else begin(outputs(), whole, jobs, arguments, command)
        return _sweep(engine, whole, arguments, noted)


@contextlib.contextmanager
def launching(preload: Sequence[str]) -> Iterator[tuple[Launcher, CancelRequest]]:
    """A warm launcher and a cancel request that SIGINT and SIGTERM ask; everything is ended with the block."""
    cancel = CancelRequest()
    try:
        with catching_signals(cancel), Launcher() as launcher:
            launcher.warm(preload)
            yield launcher, cancel
    finally:
        cancel.close()


def import_path(config_dirs: Sequence[Path]) -> list[str]:
    """Where a user's modules are looked for: the current folder, and the parent of each folder of YAML."""
    return [str(Path.cwd()), *(str(folder.resolve().parent) for folder in config_dirs)]


def single(
    composed: "Composed",
    launcher: Launcher,
    cancel: CancelRequest,
    command: Sequence[str],
    path: Sequence[str],
    past: "Past | None" = None,
) -> int:
    """Checks, runs and reports one job, which may go on from a `past` run, and gives its exit code."""
    from harness.report.console import print_run

    ended = conduct(composed, launcher, cancel, command, path, past)
    if ended.result is not None and ended.folder is not None:
        print_run(ended.result, ended.folder)
    if ended.exit_code == 2:
        print(ended.message, file=sys.stderr)
    return ended.exit_code


def conduct(
    composed: "Composed",
    launcher: Launcher,
    cancel: CancelRequest,
    command: Sequence[str],
    path: Sequence[str],
    past: "Past | None" = None,
    lines: TextIO | None = None,
) -> "Ended":
    """Checks and runs one job; progress is told on `lines`, by default the standard error.

    Raises:
        HarnessError: the run was refused, or could not be kept.
    """
    from harness.config.spec import RunSpec

    check_jobs([composed], launcher, cancel, path)
    return engine_for(launcher, cancel, command, path, lines).run(RunSpec.from_composed(composed), past)


def engine_for(
    launcher: Launcher,
    cancel: CancelRequest,
    command: Sequence[str],
    path: Sequence[str],
    out: TextIO | None = None,
) -> "Engine":
    """The engine over this user's store, which says first which runs were found dead."""
    from harness.cli.results import tell_recovered
    from harness.engine.run import Engine
    from harness.paths import outputs
    from harness.report.markdown import run_report
    from harness.results.store import Store
    from harness.track.lines import StepLines

    store = Store(outputs())
    tell_recovered(store.recover())
    lines = StepLines(out or sys.stderr)
    return Engine(launcher, store, cancel, run_report, command, path, [lines], lines)


def check_jobs(composed: Sequence["Composed"], launcher: Launcher, cancel: CancelRequest, path: Sequence[str]) -> None:
    """Holds everything against its schemas before anything runs.

    Raises:
        ConfigError: with all problems of all jobs, each once.
    """
    from harness.config.check import check
    from harness.config.targets import undescribed
    from harness.measure.catalogue import load_catalogue

    unknown = sorted({target for one in composed for target in undescribed(one)})
    described = _describe(unknown, launcher, cancel, path) if unknown else {}
    problems: list[Problem] = []
    for one in composed:
        metrics = one.config.get("metrics")
        problems += check(one, load_catalogue(metrics if _is_declared(metrics) else None), described)
    if cancel.asked:
        raise Cancelled
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _is_declared(metrics: Any) -> bool:
    """Whether the user's metrics have the shape of declarations; where not, the schema says so."""
    allowed = {"unit", "kind", "better", "meaning"}
    return isinstance(metrics, Mapping) and all(
        isinstance(fields, Mapping) and "unit" in fields and set(fields) <= allowed for fields in metrics.values()
    )


def _describe(
    targets: Sequence[str], launcher: Launcher, cancel: CancelRequest, path: Sequence[str]
) -> Mapping[str, Any]:
    """The signatures of a user's targets, read in a worker: the supervisor never imports them."""
    from harness.engine.questions import ask

    return ask(launcher, cancel, {"do": "describe_targets", "targets": list(targets)}, path, ALWAYS, SIGNATURES_S)


@dataclass
class _Sweep:
    """What the jobs of the sweep that is running in this process share, and what came of them."""

    engine: "Engine"
    config_dirs: Sequence[Path]
    deadline: float | None
    jobs: "Jobs"
    ended: list["Ended"] = field(default_factory=list)

    def job(self, config: Any) -> None:
        """Runs one job; whatever happens becomes a row, since a raising job would end the sweep."""
        from harness.config.compose import adopt
        from harness.config.spec import RunSpec

        spec = RunSpec.from_composed(adopt(config, self.config_dirs))
        ended = self._outcome(spec)
        self.ended.append(ended)
        self.jobs.ended(ended)
        said = (ended.result or {}).get("verdict", {}).get("level") or ended.message
        print(f"[{len(self.ended)}] {ended.scenario}: {ended.status}: {said}", file=sys.stderr)

    def _outcome(self, spec: Any) -> "Ended":
        from harness.engine.run import Ended

        try:
            earlier = self.jobs.earlier(spec)
        except HarnessError as error:
            return Ended(spec.scenario, "failed", error.exit_code, spec.overrides, message=error.message)
        if isinstance(earlier, Ended):
            return earlier
        if self.engine.cancel.asked:
            return Ended(spec.scenario, "cancelled", 130, spec.overrides, message="cancelled before it ran")
        try:
            return self._in_time(spec, earlier)
        except HarnessError as error:
            return Ended(spec.scenario, "failed", error.exit_code, spec.overrides, message=error.message)
        except Cancelled:
            return Ended(spec.scenario, "cancelled", 130, spec.overrides, message="cancelled before it ran")

    def _in_time(self, spec: "RunSpec", past: "Past | None") -> "Ended":
        """The job, ended when the time of the suite is over; a resumed suite goes on with it."""
        from harness.engine.run import Ended

        left_s = math.inf if self.deadline is None else self.deadline - time.monotonic()
        if left_s <= 0:
            return Ended(spec.scenario, "skipped", 3, spec.overrides, message=_OVER)
        if left_s >= spec.measure.timeout_s:
            return self.engine.run(spec, past)
        ended = self.engine.run(replace(spec, measure=replace(spec.measure, timeout_s=left_s)), past)
        timed_out = ((ended.result or {}).get("reason") or {}).get("kind") == "timeout"
        return replace(ended, status="cancelled", message=_OVER) if timed_out else ended


_OVER = "the time of the suite was over"
_running: _Sweep | None = None


def _task(config: Any) -> None:
    """What Hydra's launcher calls for each job."""
    assert _running is not None
    _running.job(config)


def _remove_traces() -> None:
    """Takes away what Hydra's sweeper notes of a sweep: the overrides, with whatever secrets are in them."""
    from harness.paths import outputs

    folder = outputs() / "sweeps"
    (folder / "multirun.yaml").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _sweep(engine: "Engine", whole: "Composed", arguments: Arguments, jobs: "Jobs") -> int:
    """Hands the jobs to Hydra's launcher; the exit code is computed after it returns."""
    global _running
    import hydra

    from harness.config.compose import rewrite
    from harness.gates.verdict import suite_exit_code
    from harness.paths import data
    from harness.report.suite import print_ended

    limit_s = whole.config.get("suite_timeout_s")
    deadline = None if limit_s is None else time.monotonic() + float(limit_s)
    engine.listeners = [*engine.listeners, jobs]
    _running = _Sweep(engine, arguments.config_dirs, deadline, jobs)
    given = sys.argv
    sys.argv = ["harness", *rewrite([*arguments.overrides, "hydra.mode=MULTIRUN"], arguments.config_dirs)]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # an error of Hydra is ours to report, not its to print and exit
    try:
        hydra.main(version_base="1.3", config_path=str(data("conf")), config_name="config")(_task)()
    finally:
        sys.argv = given
        sweep, _running = _running, None
        _remove_traces()
    code = suite_exit_code([ended.exit_code for ended in sweep.ended])
    jobs.end(code)
    print_ended(sweep.ended, str(jobs.record.document["name"]))
    return code
