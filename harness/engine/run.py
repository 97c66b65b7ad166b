"""One run from a checked configuration to a stored, judged result."""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness.config.redact import redact
from harness.config.spec import RunSpec
from harness.engine import device
from harness.engine.assemble import assemble
from harness.engine.events import EventStream, Listener, now
from harness.engine.lock import host_lock
from harness.engine.output import OutputLog
from harness.engine.questions import ENTRY
from harness.engine.resume import CAPTURED, Past, facts_of
from harness.engine.signals import CancelRequest
from harness.engine.supervisor import Supervisor, WorkerReport
from harness.engine.told import Told
from harness.errors import HarnessError, StorageRefused, StoreLost
from harness.journal.lines import Journal
from harness.measure import environment
from harness.measure.samples import SampleFile, trim
from harness.measure.telemetry import TreeSampler
from harness.process import memory
from harness.process.children import output_of
from harness.process.launcher import Launcher, Worker
from harness.results.store import OpenRun, Store
from harness.results.work import work_digest
from harness.track.learned import learn_from
from harness.track.progress import EXPECTED, Tracker
from harness.track.reporter import Reporter, View


@dataclass(frozen=True)
class Ended:
    """What came of a job: enough for a suite's table, with the whole result document where there is one."""

    scenario: str
    status: str
    exit_code: int
    overrides: Sequence[str] = ()
    run_id: str | None = None
    folder: Path | None = None
    result: Mapping[str, Any] | None = None
    message: str = ""


@dataclass
class Engine:
    """What all runs of one command share."""

    launcher: Launcher
    store: Store
    cancel: CancelRequest
    render: Callable[[Mapping[str, Any]], str]
    command: Sequence[str] = ()
    path: Sequence[str] = ()
    listeners: Sequence[Listener] = field(default_factory=list)
    view: View | None = None  # whoever is shown how far a run is

    def run(self, spec: RunSpec, past: Past | None = None) -> Ended:
        """Measures, judges and stores; an outcome of the measured work is a value, never an exception.

        With a `past` it goes on from that run, whose whole iterations are not measured again.

        Raises:
            RefusedError: nothing was measured, and why.
            Cancelled: before anything was measured.
            StoreLost: what was measured could not be kept.
        """
        resolved = device.resolve(spec.device)
        memory.oom_kills_at_start()
        if past is not None:
            past = past.checked(facts_of(environment.capture(resolved, run=output_of)))
        with self._locked(spec) as name_holder:
            worker = self._worker(spec)
            try:
                return _Run(self, spec, resolved, worker, name_holder, past).conduct()
            finally:
                worker.kill()
                worker.close()

    @contextlib.contextmanager
    def _locked(self, spec: RunSpec) -> Iterator[Callable[[str], None]]:
        if spec.lock.mode == "shared":
            yield lambda run_id: None
            return
        with host_lock(wait_s=spec.lock.wait_s, cancelled=lambda: self.cancel.asked) as name_holder:
            yield name_holder

    def _worker(self, spec: RunSpec) -> Worker:
        return self.launcher.spawn(
            ENTRY,
            preload=spec.worker.preload,
            start=spec.worker.start,
            path=self.path,
            wake=self.cancel.fileno(),
            timeout_s=spec.measure.timeout_s,
        )


class _Run:
    """The state of one run while it lasts."""

    def __init__(
        self,
        engine: Engine,
        spec: RunSpec,
        device: str,
        worker: Worker,
        name_holder: Callable[[str], None],
        past: Past | None,
    ) -> None:
        self.engine, self.spec, self.device, self.worker = engine, spec, device, worker
        self.past = past
        self.redact = partial(redact, secrets=spec.secrets)
        self.told = Told()
        self.tracker = Tracker(lambda _: time.monotonic())
        self.trace_id = uuid.uuid4().hex
        self.started_at, self._started = now(), time.monotonic()
        self.open: OpenRun = engine.store.create_run(
            scenario=spec.scenario,
            device=device,
            model=spec.model,
            trace_id=self.trace_id,
            config_yaml=self._config_yaml(),
            config_digest=spec.digest,
            work_digest=work_digest(spec.stored_config),
            command=self.redact(list(engine.command)),
            overrides=self.redact(list(spec.overrides)),
            tags=self.redact(list(spec.tags)),
            resumed_from=past.run_id if past else None,
        )
        name_holder(self.open.run_id)

    def _config_yaml(self) -> str:
        import yaml

        return str(yaml.safe_dump(dict(self.spec.stored_config), sort_keys=False, allow_unicode=True))

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.open.folder

    def conduct(self) -> Ended:
        """Everything from the first event to the stored result."""
        try:
            samples = SampleFile(self.folder / "samples.bin", create=True)
            stream = EventStream(Journal(self.folder / "events.jsonl"), self.trace_id, self.redact)
            output = OutputLog(self.folder / "worker.log", self.redact)
        except OSError as error:
            self._close("failed", 2, "error", str(error))
            raise StorageRefused(
                f"the run folder {self.folder} cannot be written: {error.strerror}",
                "free disk space, or set HARNESS_OUTPUTS to another folder",
            ) from error
        stream.listen(self.told)
        for listener in self.engine.listeners:
            stream.listen(listener)
        try:
            return self._measure(samples, stream, output)
        except StoreLost as error:
            with contextlib.suppress(HarnessError):
                self._close("failed", 3, "error", error.message)
            raise
        finally:
            with contextlib.suppress(OSError, StoreLost):
                stream.close()
            samples.close()
            output.close()

    def _measure(self, samples: SampleFile, stream: EventStream, output: OutputLog) -> Ended:
        spec = self.spec
        sampler = TreeSampler(self.worker.pid, spec.telemetry.level)
        reporter = Reporter(
            self.tracker, stream.emit, samples, lambda: sampler.latest.values, spec.telemetry.progress_s
        )
        reporter.view = self.engine.view
        stream.listen(reporter)
        stream.emit(
            "run.started",
            run_id=self.open.run_id,
            scenario=spec.scenario,
            device=self.device,
            warmup=spec.measure.warmup,
            iterations=spec.measure.iterations,
            choices=dict(spec.choices),
        )
        if self.past is not None:
            self.past.take_over(samples, stream.emit)
        self._expect(stream)
        captured = environment.capture(self.device, run=output_of)
        stream.emit(CAPTURED, "debug", **facts_of(captured))
        supervisor = Supervisor(self.worker, self.engine.launcher, self.engine.cancel, stream, output.write)
        report = supervisor.run(
            self._request(),
            samples,
            timeout_s=spec.measure.timeout_s,
            memory_limit_mb=spec.limits.memory_mb,
            sampler=None if spec.telemetry.level == "disabled" else sampler,
            interval_s=spec.telemetry.interval_s,
            tick=reporter.tick,
        )
        telemetry = sampler.summary()
        sampler.close()
        if report.ending == "refused":
            return self._refused(report, stream)
        stream.emit("phase.started", "debug", phase="report")
        trim(self.folder / "samples.bin")
        path = self.folder / "samples.bin"
        document = assemble(self.facts(report, stream), spec, path, stream, self.told, telemetry, captured, self.redact)
        return self._finish(document, report, stream)

    def _expect(self, stream: EventStream) -> None:
        """Says what past runs of the same work took, for this run's estimates and for readers in other terminals."""
        learned = learn_from(
            self.engine.store.index,
            self.engine.store.runs,
            scenario=self.spec.scenario,
            device=self.device,
            work=work_digest(self.spec.stored_config),
            host=self.open.manifest["host"],
        )
        stream.emit(EXPECTED, "debug", **learned.told())

    def _finish(self, document: dict[str, Any], report: WorkerReport, stream: EventStream) -> Ended:
        for name, metric in document["metrics"].items():
            stream.emit("metric.measured", "debug", metric=name, unit=metric["unit"], **_short(metric["statistics"]))
        level = "info" if document["status"] == "completed" else "error"
        stream.emit("run.finished", level, status=document["status"], verdict=document["verdict"]["level"])
        stream.sync()
        self.engine.store.finish(document, report=self.engine.render(document), progress=self.tracker.record())
        code = 130 if self.engine.cancel.asked else document["exit_code"]
        return Ended(
            self.spec.scenario,
            document["status"],
            code,
            self.spec.overrides,
            self.open.run_id,
            self.folder,
            document,
            report.message,
        )

    def _request(self) -> dict[str, Any]:
        return {
            "do": "run",
            "config": self.spec.config,
            "device": self.device,
            "folder": str(self.folder),
            "samples": str(self.folder / "samples.bin"),
            "remaining_s": self.spec.measure.timeout_s,
            "past": [str(folder) for folder in self.past.folders] if self.past else [],
            "kept_errors": list(self.past.errors) if self.past else [],
        }

    def facts(self, report: WorkerReport, stream: EventStream) -> dict[str, Any]:
        """What the supervisor itself knows of the run, for the result document."""
        ended = report.exit
        return {
            "run_id": self.open.run_id,
            "trace_id": self.trace_id,
            "scenario": self.spec.scenario,
            "device": self.device,
            "model": self.spec.model,
            "status": report.ending,
            "reason": {"kind": report.reason or "error", "message": self.redact(report.message)}
            if report.ending == "failed"
            else None,
            "started_at": self.started_at,
            "finished_at": now(),
            "duration_s": time.monotonic() - self._started,
            "choices": self.spec.choices,
            "overrides": self.redact(list(self.spec.overrides)),
            "tags": self.redact(list(self.spec.tags)),
            "contended": self.spec.lock.mode == "shared",
            "process": {
                "supervisor_pid": os.getpid(),
                "zygote_pid": self.worker.zygote_pid,
                "worker_pid": self.worker.pid,
                "start": self.spec.worker.start,
                "exit": str(ended),
                "rusage": dict(ended.usage) if ended else {},
                "leftover_processes": len(ended.leftovers) if ended else 0,
            },
            "outcome": self.past.completed(report.outcome) if self.past else report.outcome,
            "resumed": self.past.told() if self.past else None,
        }

    def _refused(self, report: WorkerReport, stream: EventStream) -> Ended:
        stream.emit("run.finished", "error", status="failed", message=report.message)
        self._close("failed", 2, "error", report.message)
        hint = report.outcome.get("hint") or ""
        message = report.message + (f"\n  {hint}" if hint else "")
        return Ended(self.spec.scenario, "failed", 2, self.spec.overrides, self.open.run_id, self.folder, None, message)

    def _close(self, status: str, exit_code: int, kind: str, message: str) -> None:
        reason = {"kind": kind, "message": self.redact(message)}
        self.engine.store.close_run(
            self.open.run_id, status, exit_code=exit_code, reason=reason, progress=self.tracker.record()
        )


def _short(statistics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: statistics[name] for name in ("n", "mean", "p50", "p95", "p99")}
