"""The harness from Python: a run, a stored run, and tables of both."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.errors import ConfigError, NotFound
from harness.results.store import Store
from tests.results.documents import STEPS, a_stored_run, measured_so_far

pandas = pytest.importorskip("pandas")


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


@pytest.fixture
def store(outputs: Path) -> Iterator[Store]:
    made = Store(outputs)
    yield made
    made.close()


def test_importing_the_package_costs_nothing() -> None:
    program = "import sys, harness; print([name for name in sys.modules if name.startswith('harness.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_only_the_public_names_are_there() -> None:
    assert {"run", "load", "runs", "Run"} == set(harness.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        harness.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_run_is_measured_and_given_back(outputs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = harness.run("scenario=function", "measure.iterations=4", "lock=shared", progress=False)
    assert (run.status, run.exit_code) == ("completed", 0)
    assert run.statistics("iteration.duration_ms")["n"] == 4
    assert run.folder.parent == outputs / "runs"
    assert capfd.readouterr() == ("", "")
    assert harness.load().run_id == run.run_id
    samples = run.samples()
    assert list(samples["iteration"]) == [0, 1, 2, 3]
    assert len(run.samples(warmup=True)) == 4 + 3
    assert "run.started" in set(run.events()["event"])


def test_a_wrong_configuration_raises_all_its_problems(outputs: Path) -> None:
    with pytest.raises(ConfigError, match="2 problems"):
        harness.run("scenario=function", "measure.iteratons=3", "measure.warmup=-1")
    assert not (outputs / "runs").exists()


def test_a_sweep_is_refused(outputs: Path) -> None:
    with pytest.raises(ConfigError, match="these describe several runs"):
        harness.run("suite=smoke")


def test_a_stored_run_is_found_by_its_beginning_and_its_end(store: Store) -> None:
    result, _ = a_stored_run(store)
    for text in ("last", result["run_id"], result["run_id"][:12], result["run_id"][-6:]):
        assert harness.load(text).run_id == result["run_id"]
    assert harness.load("last", outputs=store.outputs).result == result
    with pytest.raises(NotFound):
        harness.load("nothing")


def test_metrics_are_a_table_with_a_row_each(store: Store) -> None:
    a_stored_run(store, measured={"step.latency_ms": STEPS, "other.rate": [1.0, 2.0]})
    table = harness.load().metrics().set_index("metric")
    assert table.loc["step.latency_ms", "n"] == len(STEPS)
    assert table.loc["step.latency_ms", "mean"] == pytest.approx(sum(STEPS) / len(STEPS))
    low, high = table.loc["step.latency_ms", "mean_low"], table.loc["step.latency_ms", "mean_high"]
    assert low < table.loc["step.latency_ms", "mean"] < high


def test_a_metric_that_was_not_measured_is_named(store: Store) -> None:
    a_stored_run(store)
    with pytest.raises(KeyError, match=r"no metric 'absent'; it has step.latency_ms"):
        harness.load().statistics("absent")


def test_samples_survive_a_parquet_file(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    _, manifest = a_stored_run(store)
    measured_so_far(store.runs / manifest["run_id"], 5)
    run = harness.load()
    again = pandas.read_parquet(run.to_parquet(tmp_path / "samples.parquet"))
    assert list(again["value"]) == list(run.samples()["value"]) == STEPS[:5]


def test_runs_are_a_table_newest_first(store: Store) -> None:
    made = [a_stored_run(store, scenario)[0]["run_id"] for scenario in ("one", "two", "two")]
    assert next(iter(harness.runs()["run_id"])) in made
    assert set(harness.runs(scenario="two")["run_id"]) == set(made[1:])
    assert len(harness.runs(last=1)) == 1
