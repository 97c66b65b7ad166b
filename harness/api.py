"""The harness from Python, as in a notebook: `harness.run("scenario=rollback")`, `harness.load("last").samples()`.

What a run measures happens in a process of its own, as from the command line. Tables need the extra `frames`.
"""

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paths
from harness.errors import BenchmarkFailed, ConfigError, Problem

if TYPE_CHECKING:
    import pandas

_HINT = "pip install 'harness[frames]'"


@dataclass(frozen=True)
class Run:
    """A run in the store: its manifest, its result document where it has one, and its samples."""

    run_id: str
    folder: Path
    manifest: Mapping[str, Any]
    result: Mapping[str, Any] | None

    @property
    def status(self) -> str:
        """How it ended: completed, failed, cancelled, crashed, skipped; or running."""
        return str(self.manifest["status"])

    @property
    def verdict(self) -> str | None:
        """What the rules said: pass, warn, fail, inconclusive, none; None without a result."""
        return None if self.result is None else str(self.result["verdict"]["level"])

    @property
    def exit_code(self) -> int | None:
        """What the command line would have ended with; None while it runs."""
        code = self.manifest["exit_code"]
        return None if code is None else int(code)

    def statistics(self, metric: str) -> Mapping[str, Any]:
        """n, mean, percentiles and their intervals of a metric.

        Raises:
            KeyError: the run did not measure it.
        """
        found: Mapping[str, Any] = {} if self.result is None else self.result["metrics"]
        if metric not in found:
            raise KeyError(f"{self.run_id} has no metric {metric!r}; it has {', '.join(found) or 'none'}")
        statistics: Mapping[str, Any] = found[metric]["statistics"]
        return statistics

    def metrics(self) -> "pandas.DataFrame":
        """One row a metric: unit, better, n, mean and its interval, p50 to p99.

        Raises:
            BenchmarkFailed: pandas is not installed.
        """
        rows = []
        for name, metric in ({} if self.result is None else self.result["metrics"]).items():
            found = metric["statistics"]
            low, high = found["ci"].get("mean") or (None, None)
            numbers = {key: found[key] for key in ("n", "mean", "std", "min", "p50", "p90", "p95", "p99", "max")}
            rows.append(
                {"metric": name, "unit": metric["unit"], "better": metric["better"], **numbers}
                | {"mean_low": low, "mean_high": high}
            )
        return _frame(rows)

    def samples(self, *, warmup: bool = False) -> "pandas.DataFrame":
        """One row a sample, as it was recorded: run_id, metric, iteration, time_ns, value, failed.

        With `warmup` also those of the warm-up, told apart by a column. Bounds of samples that are estimates themselves
        are the columns low and high.

        Raises:
            BenchmarkFailed: pandas is not installed.
            StoreLost: the samples cannot be read.
        """
        return _frame(_rows(self.run_id, self.folder / "samples.bin", warmup=warmup))

    def events(self) -> "pandas.DataFrame":
        """One row an event.

        Raises:
            BenchmarkFailed: pandas is not installed.
        """
        from harness.journal.lines import read_journal

        return _frame(read_journal(self.folder / "events.jsonl")[0])

    def to_parquet(self, path: str | Path, *, warmup: bool = False) -> Path:
        """Writes all samples to a Parquet file and gives back its path.

        Raises:
            BenchmarkFailed: pandas or pyarrow is not installed.
        """
        frame = self.samples(warmup=warmup)
        try:
            frame.to_parquet(path, index=False)
        except ImportError as error:
            raise BenchmarkFailed(f"Parquet needs pyarrow: {error}", _HINT) from error
        return Path(path)


def run(*overrides: str, config_dirs: Sequence[str | Path] = (), progress: bool = True) -> Run:
    """Measures what the overrides describe, and gives back the stored run, whatever its verdict.

    With `progress` the steps are told on the standard error, as on the command line.

    Raises:
        ConfigError: all problems of the configuration; or the overrides are those of a sweep.
        HarnessError: the run was refused, or could not be kept.
        Cancelled: it was cancelled before anything was measured.
    """
    from harness.cli.preload import guess
    from harness.cli.run import conduct, import_path, launching

    folders = [Path(folder) for folder in config_dirs]
    words = [*(f"--config-dir={folder}" for folder in folders), *overrides]
    with launching(guess(overrides, folders)) as (launcher, cancel):
        from harness.config.compose import compose

        composed = compose(overrides, folders)
        if composed.mode != "RUN":
            hint = "run each of its settings by itself, or use the command line"
            raise ConfigError([Problem("overrides", "these describe several runs", hint)])
        out = sys.stderr if progress else io.StringIO()
        ended = conduct(composed, launcher, cancel, ["harness", *words], import_path(folders), lines=out)
    if ended.run_id is None or ended.exit_code == 2:
        raise ConfigError([Problem(composed.choices.get("scenario") or "scenario", ended.message)])
    return load(ended.run_id)


def load(run: str = "last", *, outputs: str | Path | None = None) -> Run:
    """A stored run by its id, its beginning, its last six digits, or the newest.

    `outputs` is the folder of the store; by default that of `HARNESS_OUTPUTS`, else `outputs` of the current folder.

    Raises:
        NotFound: no run, or more than one, is meant.
        StoreLost: it cannot be read.
    """
    history = _history(outputs)
    try:
        history.recover()
        run_id = history.find(run)
        return Run(run_id, history.runs / run_id, history.manifest(run_id), history.result(run_id))
    finally:
        history.close()


def runs(*, outputs: str | Path | None = None, last: int | None = None, **equal: str) -> "pandas.DataFrame":
    """One row a stored run, newest first; `equal` are columns of `results`, such as scenario, status, model, tag.

    Raises:
        BenchmarkFailed: pandas is not installed.
    """
    history = _history(outputs)
    try:
        history.recover()
        return _frame(history.index.find(last=last, **equal))
    finally:
        history.close()


def _history(outputs: str | Path | None) -> Any:
    from harness.results.history import History

    return History(paths.outputs() if outputs is None else Path(outputs).absolute())


def _frame(rows: Sequence[Mapping[str, Any]]) -> "pandas.DataFrame":
    try:
        import pandas
    except ImportError as error:
        raise BenchmarkFailed(f"tables need pandas: {error}", _HINT) from error
    return pandas.DataFrame(rows)


def _rows(run_id: str, samples: Path, *, warmup: bool) -> list[dict[str, Any]]:
    """Every sample as a row; a bound belongs to the sample before it."""
    from harness.measure.samples import Flag, read_records

    rows: list[dict[str, Any]] = []
    for record in read_records(samples) if samples.exists() else ():
        warm = bool(record.flag & Flag.WARMUP)
        if warm and not warmup:
            continue
        if record.flag & (Flag.LOW | Flag.HIGH):
            rows[-1]["low" if record.flag & Flag.LOW else "high"] = record.value
            continue
        row = {"run_id": run_id, "metric": record.metric, "iteration": record.iteration, "time_ns": record.time_ns}
        row |= {"value": record.value, "low": None, "high": None, "failed": bool(record.flag & Flag.FAILED)}
        rows.append(row | ({"warmup": warm} if warmup else {}))
    return rows
