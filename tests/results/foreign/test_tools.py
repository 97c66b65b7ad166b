"""Files as the tools write them: three were written by the releases in their names, guidellm's after its sources."""

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.errors import RefusedError
from harness.journal.lines import read_journal
from harness.report.markdown import run_report
from harness.results import schema
from harness.results.history import History
from harness.results.transfer import Outcome, bring
from harness.results.verify import problems_of

FILES = Path(__file__).parent / "files"
ALL = sorted(FILES.iterdir())


def imported(source: Path, outputs: Path) -> list[dict[str, Any]]:
    """The results that the file became, in the order of the file's benchmarks."""
    found = bring(source, outputs, run_report)
    history = History(outputs)
    results = [history.result(each.run_id) for each in found]
    history.close()
    return [result for result in results if result is not None]


@pytest.mark.parametrize("source", ALL, ids=lambda path: path.stem)
def test_every_run_of_another_tool_is_a_whole_run_of_ours(source: Path, tmp_path: Path) -> None:
    for result in imported(source, tmp_path):
        assert schema.validate(result, "result") == []
        assert problems_of(tmp_path / "runs" / result["run_id"], read_journal) == []
    history = History(tmp_path)
    kinds = {history.manifest(row["run_id"])["origin"]["kind"] for row in history.index.find()}
    history.close()
    assert kinds == {
        next(kind for kind in ("hyperfine", "pyperf", "pytest-benchmark", "guidellm") if kind in source.stem)
    }


@pytest.mark.parametrize("source", ALL, ids=lambda path: path.stem)
def test_a_file_is_imported_once_even_when_copied_or_compressed_later(source: Path, tmp_path: Path) -> None:
    first = bring(source, tmp_path / "outputs", run_report)
    copy = tmp_path / "copy.json"
    shutil.copy(source, copy)
    os.utime(copy, (1e9, 1e9))
    again = bring(copy, tmp_path / "outputs", run_report)
    assert again == [Outcome(each.run_id, "already here") for each in first]
    packed = tmp_path / "copy.json.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    assert len(bring(packed, tmp_path / "other", run_report)) == len(first)


def test_hyperfine_brings_its_times(tmp_path: Path) -> None:
    results = {result["config"]["command"]: result for result in imported(FILES / "hyperfine-1.15.json", tmp_path)}
    result = results["sleep 0.001"]
    metrics = result["metrics"]
    assert metrics["iteration.duration_ms"]["samples"][1] == pytest.approx(3.411412)
    assert metrics["iteration.duration_ms"]["statistics"]["n"] == 5
    assert metrics["hyperfine.user_ms"]["statistics"]["p50"] == pytest.approx(1.4968)
    assert result["config"]["parameters"] == {"n": "1"}
    assert "the time of the file stands for it" in result["warnings"][0]
    history = History(tmp_path)
    assert {row["metric"] for row in history.index.find()} == {"iteration.duration_ms"}
    history.close()


def test_pyperf_brings_the_values_of_all_processes_and_its_host(tmp_path: Path) -> None:
    (result,) = imported(FILES / "pyperf-2.10.json", tmp_path)
    assert result["scenario"] == "demo"
    assert result["started_at"].startswith("2026-11-22T08:29:22")
    assert result["metrics"]["iteration.duration_ms"]["statistics"]["n"] == 6
    assert result["metrics"]["iteration.duration_ms"]["samples"][0] == pytest.approx(1.571299981e-4)
    assert result["metrics"]["pyperf.peak_rss_mb"]["samples"][0] == pytest.approx(19873792 / 2**20)
    assert result["environment"]["hostname"] == "bench-1"


def test_pytest_benchmark_brings_its_rounds_or_says_that_it_kept_none(tmp_path: Path) -> None:
    source = FILES / "pytest-benchmark-5.3.json"
    (result,) = imported(source, tmp_path / "a")
    assert result["scenario"] == "tb.py--test_sum"
    assert result["metrics"]["iteration.duration_ms"]["statistics"]["n"] == 7
    document = json.loads(source.read_bytes())
    del document["benchmarks"][0]["stats"]["data"]
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(document))
    (result,) = imported(bare, tmp_path / "b")
    assert "iteration.duration_ms" not in result["metrics"], "a mean is no sample"
    assert result["metrics"]["pytest_benchmark.median_ms"]["samples"] == [pytest.approx(9.084000339e-4)]
    assert "without --benchmark-save-data" in result["warnings"][0]


def test_guidellm_brings_each_request_or_says_that_it_kept_none(tmp_path: Path) -> None:
    with_requests, without = imported(FILES / "guidellm.json", tmp_path)
    if with_requests["config"]["number"] == 1:
        with_requests, without = without, with_requests
    assert with_requests["model"] == without["model"] == "tiny-model"
    assert with_requests["metrics"]["llm.ttft_ms"]["samples"] == [100.0, 110.0, 90.0]
    assert with_requests["metrics"]["llm.e2e_ms"]["samples"] == [500.0, 600.0, 400.0]
    assert with_requests["iterations"]["failed"] == 1
    assert with_requests["started_at"] == "2025-11-22T08:26:40.000000Z"
    assert without["duration_s"] == 5.0
    assert without["metrics"]["llm.ttft_ms.median"]["samples"] == [100.0]
    assert "llm.ttft_ms" not in without["metrics"]
    assert "keeps no single requests" in without["warnings"][0]


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("hyperfine-1.15", lambda d: d["results"][0].update(times="x"), "should be a list of numbers"),
        ("hyperfine-1.15", lambda d: d["results"][1].update(command=3), "'command' should be a str, found int"),
        ("pyperf-2.10", lambda d: d["metadata"].update(unit="parsec"), "the unit 'parsec' is none of"),
        ("pyperf-2.10", lambda d: d["metadata"].pop("name"), "'name' should be a str, found NoneType"),
        ("pyperf-2.10", lambda d: d["benchmarks"][0].update(runs=[]), "demo has no samples"),
        ("pytest-benchmark-5.3", lambda d: d["benchmarks"][0].update(stats=[]), "'stats' should be a dict"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(name: str, damage: Any, message: str, tmp_path: Path) -> None:
    document = json.loads((FILES / f"{name}.json").read_bytes())
    damage(document)
    (tmp_path / "damaged.json").write_text(json.dumps(document))
    with pytest.raises(RefusedError) as caught:
        bring(tmp_path / "damaged.json", tmp_path / "outputs", run_report)
    assert message in str(caught.value)
    assert list((tmp_path / "outputs").rglob("*.json")) == []
