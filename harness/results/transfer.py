"""Bringing runs into the store: from a bundle, from another store, from the file of another tool.

Everything is written beside the store first and held against its schemas and digests; then whole folders are renamed
into it. So an import that is refused or killed leaves nothing behind that looks like a run. Nothing that was imported
is ever executed: `rerun` refuses such runs.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import HarnessError, RefusedError, StorageRefused
from harness.journal.lines import read_journal
from harness.results import bundle, manifest, schema, summary
from harness.results.canonical import digest, file_digest, pretty
from harness.results.disk import Disk
from harness.results.foreign import guidellm, hyperfine, pyperf, pytest_benchmark
from harness.results.foreign.benchmark import run_of
from harness.results.index import Index
from harness.results.names import metrics_name
from harness.results.times import now
from harness.results.verify import problems_of

Render = Callable[[Mapping[str, Any]], str]
TOOLS: Mapping[str, Any] = {
    "pyperf": pyperf,
    "pytest-benchmark": pytest_benchmark,
    "hyperfine": hyperfine,
    "guidellm": guidellm,
}
_STAGING = ".incoming"
_LEFTOVER_S = 3600.0
# What people may add to a run here and there, and what an import itself notes: no sign that two runs differ.
_OWN = ("schema", "tags", "pinned", "notes", "origin", "artifacts")


class Outcome(NamedTuple):
    """What came of each run: its id, `imported`, `already here`, `differs` or `not ended`."""

    run_id: str
    what: str


def bring(source: Path, outputs: Path, render: Render, kind: str | None = None) -> list[Outcome]:
    """Imports a bundle, a tool's file, or all runs of another output folder; what came of each run.

    `kind` names the format where it should not be told from the content. `render` makes the report of a result.

    Raises:
        RefusedError: the source is not there, is none of these, or does not hold what it states; nothing is imported.
        StorageRefused: the store cannot be written.
    """
    with _staging(outputs) as folder:
        is_store = source.is_dir()
        found = _from_store(source, folder) if is_store else _from_file(source, folder, outputs, render, kind)
        return [*found, *_adopt(folder, outputs)]


def _from_file(source: Path, folder: Path, outputs: Path, render: Render, kind: str | None) -> list[Outcome]:
    try:
        if source.stat().st_size > bundle.LARGEST_BYTES:
            raise RefusedError(f"{source} is larger than {bundle.LARGEST_BYTES >> 20} MiB", "Export fewer runs at once")
        content, written_at = source.read_bytes(), source.stat().st_mtime
    except OSError as error:
        raise RefusedError(f"{source} cannot be read: {error.strerror or error}", "Name a file or a folder") from error
    found = bundle.load(content, str(source))
    told, outcomes = kind or _kind_of(found), list[Outcome]()
    if told == "bundle":
        _stage_bundle(bundle.unpack(found, str(source)), folder, _origin("bundle", source, file_digest(source)))
    elif told is not None:
        stamp = _origin(told, source, file_digest(source))
        for each in TOOLS[told].benchmarks(_ours(found, told, source), written_at):
            known, result = run_of(each, told, stamp["source"], stamp["digest"], stamp["imported_at"])
            again = _imported_before(known["run_id"], outputs)
            if again is None:
                _stage_result(folder, known, result, render(result))
            else:
                outcomes.append(Outcome(again, "already here"))
    else:
        raise RefusedError(f"{source} is nothing that can be imported", f"It may be a bundle, or of {', '.join(TOOLS)}")
    return outcomes


def _imported_before(run_id: str, outputs: Path) -> str | None:
    """The run of the same content under another time: a file that states none is dated by its own."""
    tail = run_id.partition("-")[2]
    return next((path.name for path in (outputs / "runs").glob(f"*Z-{tail}")), None)


def _ours(found: Any, tool: str, source: Path) -> Mapping[str, Any]:
    if not TOOLS[tool].is_ours(found):
        raise RefusedError(f"{source} is no file of {tool}", "Leave --kind away and let the content tell")
    return dict(found)


def _kind_of(found: Any) -> str | None:
    if isinstance(found, Mapping) and str(found.get("schema")).startswith("harness.export/"):
        return "bundle"
    return next((tool for tool, module in TOOLS.items() if module.is_ours(found)), None)


def _origin(kind: str, source: Path, found: str | None) -> dict[str, Any]:
    return {"kind": kind, "source": str(source.absolute()), "imported_at": now(), "digest": found}


def _stage_bundle(runs: Mapping[str, Mapping[str, bytes]], folder: Path, origin: Mapping[str, Any]) -> None:
    for run_id, files in runs.items():
        target = folder / run_id
        target.mkdir()
        for name, content in files.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _check(target)
        _stamp(target, origin)


def _stage_result(folder: Path, known: Mapping[str, Any], result: Mapping[str, Any], report: str) -> None:
    import yaml

    from harness.results.document import scenario_metrics

    target = folder / known["run_id"]
    target.mkdir()
    (target / "config.yaml").write_text(yaml.safe_dump(dict(result["config"]), sort_keys=False), encoding="utf-8")
    (target / "result.json").write_bytes(pretty(result))
    (target / metrics_name(result["scenario"])).write_bytes(pretty(scenario_metrics(result)))
    (target / "report.md").write_text(report, encoding="utf-8")
    names = sorted({path.name for path in target.iterdir()} | {"manifest.json"})
    (target / "manifest.json").write_bytes(pretty({**known, "artifacts": names}))
    _check(target)


def _from_store(source: Path, folder: Path) -> list[Outcome]:
    """Copies the ended runs of another store; those that have not ended are told, not taken."""
    runs = source / "runs" if (source / "runs").is_dir() else source
    origin = _origin("store", source, None)
    left_out = []
    paths = [path for path in sorted(runs.iterdir()) if (path / "manifest.json").is_file() and not path.is_symlink()]
    if not paths:
        raise RefusedError(f"{source} holds no runs", "Name an output folder, whose runs lie in runs/")
    for path in paths:
        bundle.check_name(path.name, str(source))
        if schema.read(path / "manifest.json", "manifest")["status"] not in manifest.FINAL:
            left_out.append(Outcome(path.name, "not ended"))
            continue
        shutil.copytree(path, folder / path.name, symlinks=True)
        _drop_links(folder / path.name)
        _check(folder / path.name)
        _stamp(folder / path.name, origin)
    return left_out


def _drop_links(folder: Path) -> None:
    for path in list(folder.rglob("*")):
        if path.is_symlink():
            path.unlink()


def _check(folder: Path) -> None:
    """Refuses a run that is not what its own digests and schemas say."""
    problems = problems_of(folder, read_journal)
    if problems:
        raise RefusedError(f"{folder.name} does not hold: {problems[0]}", "Nothing was imported; export it again")


def _stamp(folder: Path, origin: Mapping[str, Any]) -> None:
    """Notes in the manifest where the run came from; one that had been imported before keeps its first origin."""
    known = schema.read(folder / "manifest.json", "manifest")
    (folder / "manifest.json").write_bytes(pretty({**known, "origin": known["origin"] or dict(origin)}))


def _adopt(folder: Path, outputs: Path) -> Iterator[Outcome]:
    """Renames the staged runs into the store, one after the other."""
    disk, index = Disk(), Index(outputs)
    runs = outputs / "runs"
    try:
        runs.mkdir(exist_ok=True)
        for path in sorted(folder.iterdir()):
            if (runs / path.name).exists():
                yield Outcome(path.name, "already here" if _same(path, runs / path.name) else "differs")
                continue
            _sync(path, disk)
            path.rename(runs / path.name)
            known = schema.read(runs / path.name / "manifest.json", "manifest")
            summary.append(outputs, known, disk, once=True)
            index.put(known)
            yield Outcome(path.name, "imported")
        disk.sync_folder(runs)
    finally:
        index.close()


def _sync(folder: Path, disk: Disk) -> None:
    """Brings a staged run to the disk before it gets its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDWR)
            try:
                disk.sync(descriptor)
            finally:
                os.close(descriptor)
    disk.sync_folder(folder)


def _same(ours: Path, theirs: Path) -> bool:
    """Whether two folders of one run id hold the same run."""
    found = []
    for folder in (ours, theirs):
        known = schema.read(folder / "manifest.json", "manifest")
        result = folder / "result.json"
        about = digest({key: value for key, value in known.items() if key not in _OWN})
        found.append((about, file_digest(result) if result.exists() else None))
    return found[0] == found[1]


@contextmanager
def _staging(outputs: Path) -> Iterator[Path]:
    """A folder beside the runs for what is not a run yet; removed in the end, with those of killed imports."""
    folder = outputs / f"{_STAGING}-{os.getpid()}"
    try:
        outputs.mkdir(parents=True, exist_ok=True)
        for left in outputs.glob(f"{_STAGING}-*"):
            if left == folder or time.time() - left.stat().st_mtime > _LEFTOVER_S:
                shutil.rmtree(left, ignore_errors=True)
        folder.mkdir()
    except OSError as error:
        raise StorageRefused(
            f"the output folder {outputs} cannot be written: {error.strerror or error}",
            "Make it writable, or set HARNESS_OUTPUTS to another folder",
        ) from error
    try:
        yield folder
    except HarnessError:
        raise
    except OSError as error:
        raise StorageRefused(f"the import could not be written: {error}", "Free disk space") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
