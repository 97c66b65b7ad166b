from pathlib import Path
from typing import Any

import pytest

from harness.errors import NotFound, RefusedError, StorageRefused, StoreLost
from harness.measure import environment
from harness.measure.catalogue import Metric
from harness.measure.instrument import InstrumentError
from harness.results import baseline, schema
from harness.results.canonical import digest
from tests.results import documents
from tests.results.documents import STEPS, a_result


def test_a_baseline_keeps_samples_statistics_and_the_host(tmp_path: Path) -> None:
    result = a_result()
    path, saved = baseline.save(result, tmp_path)
    assert path == tmp_path / "rollback" / "cpu.json"
    assert baseline.load(path) == saved
    assert schema.validate(saved, "baseline") == []
    assert saved["metrics"]["step.latency_ms"]["samples"] == STEPS
    assert saved["host"]["name"] == "bench-1"
    assert saved["host"]["facts"]["cpu"] == {"model": "abc", "cores": 2}
    assert saved["config_digest"] == result["digests"]["config"]
    assert digest({key: value for key, value in saved.items() if key != "digest"}) == saved["digest"]


def test_a_newer_baseline_names_the_run_that_it_replaces(tmp_path: Path) -> None:
    baseline.save(a_result({"run_id": "first"}), tmp_path)
    _, saved = baseline.save(a_result({"run_id": "second"}), tmp_path)
    assert (saved["run_id"], saved["replaces"]) == ("second", "first")


def test_other_devices_have_baselines_of_their_own(tmp_path: Path) -> None:
    baseline.save(a_result(), tmp_path)
    baseline.save(a_result({"device": "cuda"}), tmp_path)
    assert [path.name for path in baseline.stored(tmp_path)] == ["cpu.json", "cuda.json"]


def test_the_host_of_a_real_environment_is_named_by_its_fingerprint() -> None:
    captured = environment.capture("cpu")
    found = baseline.fingerprint(a_result(environment=captured))
    assert found["fingerprint"] == captured["fingerprint"]
    assert found["name"] == captured["hostname"]
    assert found["facts"].keys() == set(baseline.FACTS)


def test_a_recorded_canary_is_kept_apart_too(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = Metric(baseline.CANARY, "ms", "histogram", "lower", "the reference workload")
    monkeypatch.setitem(documents.CATALOGUE, baseline.CANARY, canary)
    assert baseline.build(a_result())["canary"] is None
    measured = {"step.latency_ms": [1.0], baseline.CANARY: [0.5, 0.6]}
    found = baseline.build(a_result(measured=measured))
    assert found["canary"]["samples"] == [0.5, 0.6]
    assert schema.validate(found, "baseline") == []


FAIL = {"metric": "step.latency_ms", "stat": "max", "critical": "> 1"}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"run": {"status": "cancelled"}}, "it is cancelled"),
        ({"measured": {}}, "it measured nothing"),
        ({"rules": [FAIL]}, "its verdict is fail"),
        ({"run": {"contended": True}}, "other runs were measured"),
        (
            {"instrument": {"step.latency_ms": InstrumentError(9.0, "replayed")}},
            "not measurable there: step.latency_ms",
        ),
    ],
)
def test_a_run_that_is_no_measure_is_refused(parts: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=reason):
        baseline.save(a_result(**parts), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageRefused, match="--to"):
        baseline.save(a_result(), tmp_path / "file")


def test_what_is_not_there_or_not_whole_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no baseline"):
        baseline.load(tmp_path / "rollback/cpu.json")
    (tmp_path / "cpu.json").write_text("{")
    with pytest.raises(StoreLost, match="cannot read"):
        baseline.load(tmp_path / "cpu.json")


def test_the_projects_own_folder_comes_before_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert baseline.folder() != tmp_path / "baselines"
    (tmp_path / "baselines").mkdir()
    assert baseline.folder() == tmp_path / "baselines"
