"""The store: a folder a run, whole documents in it, and what is derived from them beside it.

A run is acknowledged when `create_run` returns and its result when `finish` returns. The order of writing makes a kill
between any two steps harmless: the marker in `active/` comes first and goes last, so `recover` sees every run that was
not brought to its end; `result.json` is written before the manifest that speaks of it, and the summary and the index,
which can be derived, come after.
"""

import contextlib
import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import StorageRefused, StoreLost
from harness.results import document, manifest, summary
from harness.results.canonical import pretty
from harness.results.disk import Disk
from harness.results.index import Index
from harness.results.names import metrics_name

ROOM_BYTES = 4 << 20  # the least room to start with: the sample file, the log and the documents of a small run


@dataclass
class OpenRun:
    """A run of this process that has not ended: its folder, its manifest, and the lock that says it lives."""

    run_id: str
    folder: Path
    manifest: dict[str, Any]
    lock: Any = field(default=None, repr=False)


class Store:
    """Everything under one output folder."""

    def __init__(self, outputs: Path, disk: Disk | None = None) -> None:
        """Opens the store in the folder `outputs`, which need not exist before the first run."""
        self.outputs = outputs
        self.runs = outputs / "runs"
        self.active = outputs / "active"
        self.disk = disk or Disk()
        self.index = Index(outputs)
        self._open: dict[str, OpenRun] = {}

    def create_run(
        self,
        *,
        scenario: str,
        device: str,
        trace_id: str,
        model: str | None = None,
        config_yaml: str = "",
        config_digest: str | None = None,
        work_digest: str | None = None,
        status: str = "running",
        command: Sequence[str] = (),
        overrides: Sequence[str] = (),
        tags: Sequence[str] = (),
        resumed_from: str | None = None,
    ) -> OpenRun:
        """Makes the folder of a new run and marks it active; everything passed in is already redacted.

        Raises:
            StorageRefused: the output folder cannot be written or has no room.
        """
        found = manifest.new_manifest(
            scenario=scenario,
            device=device,
            model=model,
            trace_id=trace_id,
            status=status,
            command=command,
            overrides=overrides,
            tags=tags,
            config_digest=config_digest,
            work_digest=work_digest,
            resumed_from=resumed_from,
        )
        run = OpenRun(found["run_id"], self.runs / found["run_id"], found)
        with self._refusing():
            if not self.runs.is_dir():
                self.active.mkdir(parents=True, exist_ok=True)
                self.runs.mkdir(exist_ok=True)
                self.disk.sync_folder(self.outputs)
            if shutil.disk_usage(self.outputs).free < ROOM_BYTES:
                raise OSError(errno.ENOSPC, f"less than {ROOM_BYTES >> 20} MiB are free")
            run.lock = self._lock(run.run_id)
            self.disk.write(self.active / run.run_id, pretty(found))
            self.disk.sync_folder(self.active)
            self.disk.make_folder(run.folder)
            self.disk.write(run.folder / "config.yaml", config_yaml.encode())
            run.manifest = self._write_manifest(run.folder, found)
            self.disk.sync_folder(self.runs)
        self._open[run.run_id] = run
        return run

    def finish(
        self, result: Mapping[str, Any], *, report: str, progress: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Keeps the result of a run and everything derived from it; the final manifest.

        `progress` holds the `steps` of the run and its `eta`.

        Raises:
            StoreLost: it cannot be kept; the samples and events stay in the run's folder.
        """
        run = self._open[result["run_id"]]
        metrics = document.scenario_metrics(result)
        with self._losing(run.folder):
            self.disk.write(run.folder / metrics_name(result["scenario"]), pretty(metrics), durable=False)
            self.disk.write(run.folder / "report.md", report.encode("utf-8", "replace"), durable=False)
            self.disk.write(run.folder / "result.json", pretty(result))
            run.manifest = self._write_manifest(
                run.folder, {**manifest.finished(run.manifest, result), **(progress or {})}
            )
            self._publish(run.manifest, once=False)
        self._forget(run.run_id)
        return run.manifest

    def close_run(
        self,
        run_id: str,
        status: str,
        *,
        exit_code: int,
        reason: Mapping[str, str] | None = None,
        progress: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Ends a run that has no result, such as one that was skipped or cancelled before anything was measured.

        Raises:
            StoreLost: it cannot be written.
        """
        from harness.results.times import now

        run = self._open[run_id]
        kept = None if reason is None else dict(reason)
        ending = {"status": status, "reason": kept, "exit_code": exit_code, "finished_at": now()}
        with self._losing(run.folder):
            run.manifest = self._write_manifest(run.folder, {**run.manifest, **ending, **(progress or {})})
            self._publish(run.manifest, once=False)
        self._forget(run_id)
        return run.manifest

    def recover(self) -> list[dict[str, Any]]:
        """Marks every run whose process is gone, and gives back their manifests; cheap when no run is active."""
        from harness.results.recovery import recover

        return recover(self, set(self._open))

    def close(self) -> None:
        """Lets go of the index."""
        self.index.close()

    def settle(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Brings a recovered run to the state in which `finish` would have left it; its manifest.

        Raises:
            OSError: the store cannot be written.
        """
        kept = self._write_manifest(self.runs / found["run_id"], found)
        self._publish(kept, once=True)
        return kept

    def _write_manifest(self, folder: Path, found: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the manifest with the names of what lies beside it; gives it back as written."""
        present = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        written = {**found, "artifacts": sorted(present | {"manifest.json"})}
        self.disk.write(folder / "manifest.json", pretty(written))
        self.disk.sync_folder(folder)
        return written

    def _publish(self, found: Mapping[str, Any], *, once: bool) -> None:
        """What is derived from the manifest, and last the end of the run's active time."""
        summary.append(self.outputs, found, self.disk, once=once)
        self.index.put(found)
        self.disk.remove(self.active / found["run_id"])
        self.disk.remove(self.active / f".{found['run_id']}.lock")

    def _lock(self, run_id: str) -> Any:
        """The run's own lock, held until it ends; None on a file system without locks, where identity must do."""
        from filelock import FileLock

        lock = FileLock(self.active / f".{run_id}.lock")
        with contextlib.suppress(NotImplementedError):  # what filelock raises where there are no locks
            lock.acquire(blocking=False)
            return lock
        return None

    def _forget(self, run_id: str) -> None:
        run = self._open.pop(run_id)
        if run.lock is not None:
            run.lock.release()

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            what = "has no room" if full else "cannot be written"
            hint = "Free disk space" if full else "Make it writable"
            raise StorageRefused(
                f"the output folder {self.outputs} {what}: {error.strerror or error}",
                f"{hint}, or set HARNESS_OUTPUTS to another folder",
            ) from error

    @contextlib.contextmanager
    def _losing(self, folder: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreLost(
                f"the result could not be kept in {folder}: {error.strerror or error}",
                "The samples and events up to here are in that folder. Free disk space, then run again",
            ) from error
