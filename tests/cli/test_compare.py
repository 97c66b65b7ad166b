import csv
import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli.baseline import main as baseline
from harness.cli.compare import main
from harness.errors import NotFound, StorageRefused
from harness.results import schema
from harness.results.store import Store
from tests.cli.stores import store as store
from tests.results.documents import a_stored_run


def two_groups(store: Store, factor: float = 1.3) -> None:
    """Five runs tagged `old` and five tagged `new`, whose steps take `factor` times as long."""
    for tag, value in (("old", 12.0), ("new", 12.0 * factor)):
        for run in range(5):
            samples = [value * (1 + 0.002 * run + 0.001 * step) for step in range(10)]
            measured = {"step.latency_ms": samples, "step.late_total": [1.0], "other.rate": [5.0] * 3}
            a_stored_run(store, run={"tags": [tag], "model": tag}, measured=measured)


def test_the_text_says_who_what_changed_and_how_sure(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    two_groups(store)
    assert main(["tag:old", "tag:new", "--factor", "model", "--rank", "step.latency_ms"]) == 1
    out = capsys.readouterr().out
    assert "factor: model: old -> new" in out
    (row,) = [line for line in out.splitlines() if line.startswith("step.latency_ms")]
    assert row.endswith("worse (major)")
    assert "+30.0" in row
    assert "winner: tag:old" in out
    assert out.endswith("verdict: fail (1 worse, 2 same), exit code 1\n")


def test_single_runs_are_inconclusive_and_exit_0_or_1_with_strict(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    two_groups(store)
    ids = [row["run_id"] for row in store.index.find()]
    assert main([ids[-1], ids[0]]) == 0
    assert main([ids[-1], ids[0], "--strict"]) == 1
    assert "inconclusive (major if real)" in capsys.readouterr().out


def test_rows_are_filtered_and_sorted_and_the_verdict_stays_that_over_all(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    two_groups(store)

    def rows(*options: str) -> tuple[list[str], dict[str, Any]]:
        main(["tag:old", "tag:new", "--json", *options])
        document = json.loads(capsys.readouterr().out)
        assert schema.validate(document, "comparison") == []
        return [row["metric"] for row in document["comparisons"][0]["metrics"]], document["verdict"]

    assert rows("--sort", "name")[0] == ["other.rate", "step.late_total", "step.latency_ms"]
    assert rows()[0][0] == rows("--sort", "change")[0][0] == "step.latency_ms"
    assert rows("--only", "same") == (["other.rate", "step.late_total"], rows()[1])
    assert rows("--metric", "other.*")[1]["level"] == "pass", "a metric that is not asked for is not judged"
    assert rows("--fail-on", "critical")[1]["level"] == "warn"


def test_markdown_and_csv_and_a_file(store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    two_groups(store)
    main(["tag:old", "tag:new", "--format", "markdown"])
    out = capsys.readouterr().out
    assert out.startswith("# Comparison: fail\n")
    assert "| step.latency_ms | ms |" in out
    path = tmp_path / "found.csv"
    assert main(["tag:old", "tag:new", "--format", "csv", "--output", str(path)]) == 1
    assert capsys.readouterr().out == ""
    with path.open() as file:
        found = {row["metric"]: row for row in csv.DictReader(file)}
    assert found["step.latency_ms"]["class"] == "worse"
    assert float(found["step.latency_ms"]["delta_percent"]) == pytest.approx(30.0)
    with pytest.raises(StorageRefused, match="cannot be written"):
        main(["tag:old", "tag:new", "--output", str(tmp_path / "none" / "x.csv")])


def test_one_run_alone_is_compared_with_its_committed_baseline(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    two_groups(store)
    with pytest.raises(NotFound, match="no baseline"):
        main(["last"])
    baseline(["save", "last"])
    capsys.readouterr()
    assert main(["last"]) == 0
    out = capsys.readouterr().out
    assert "baseline rollback/cpu" in out
    assert "a baseline keeps the digest of its configuration only" in out


@pytest.mark.parametrize("tolerance", ["0", "-1", "five"])
def test_a_tolerance_is_a_percentage(tolerance: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["a", "b", f"--tolerance={tolerance}"])
    assert "should be a percentage above 0" in capsys.readouterr().err
