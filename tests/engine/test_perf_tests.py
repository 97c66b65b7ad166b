"""The smoke tests end at the first regression, confirm it, and fail nothing that a stored time cannot carry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.config.compose import compose
from harness.config.spec import RunSpec
from harness.engine.perf_tests import PerfTests
from harness.engine.run import Ended
from harness.results import baseline
from harness.results.perf_tests import entry, results
from harness.results.work import work_digest
from tests.results.documents import a_result

FAST, SLOW, NEARLY = 10.0, 14.0, 12.5


@dataclass
class Asked:
    """A cancel request that nobody made."""

    asked: bool = False


@dataclass
class Scripted:
    """Stands for the engine: gives the next duration in the list, so that the decisions alone are tried."""

    durations: list[float]
    pressure: float = 1.0
    status: str = "completed"
    cancel: Asked = field(default_factory=Asked)
    ran: list[str] = field(default_factory=list)
    limits_s: list[float] = field(default_factory=list)

    def run(self, spec: RunSpec) -> Ended:
        self.ran.append(spec.scenario)
        self.limits_s.append(spec.measure.timeout_s)
        document = made(spec.scenario, self.durations.pop(0), pressure=self.pressure, config=spec.stored_config)
        document["status"] = self.status
        return Ended(spec.scenario, self.status, 0, (), f"r{len(self.ran)}", None, document)


def made(scenario: str, duration_ms: float, *, pressure: float, config: Mapping[str, Any]) -> dict[str, Any]:
    run = {"scenario": scenario, "run_id": f"of-{scenario}", "config": config, "overrides": []}
    return a_result(run, {"iteration.duration_ms": [duration_ms] * 20}, pressure=pressure)


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunSpec]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    found = [RunSpec.from_composed(compose([f"scenario={name}"])) for name in ("function", "command")]
    for spec in found:
        baseline.save(made(spec.scenario, FAST, pressure=1.0, config=spec.stored_config), tmp_path / "baselines")
    return found


def checked(engine: Scripted, specs: Sequence[RunSpec], **changes: Any) -> list[dict[str, Any]]:
    plan: dict[str, Any] = {"tolerance": 0.25, "limit_s": 600.0, "keep_going": False, "tell": lambda line: None}
    return PerfTests(engine, **{**plan, **changes}).run(specs)  # type: ignore[arg-type]


def classes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [each["classification"] for each in entries]


def test_scenarios_as_fast_as_their_baselines_pass(specs: list[RunSpec]) -> None:
    entries = checked(Scripted([FAST, NEARLY]), specs)
    assert classes(entries) == ["pass", "pass"]
    assert entries[0]["baseline"] == "of-function"
    assert entries[1]["below_percent"] == pytest.approx(20.0)


def test_a_loss_of_a_quarter_that_stays_ends_the_tests(specs: list[RunSpec]) -> None:
    engine = Scripted([SLOW, SLOW])
    entries = checked(engine, specs)
    assert classes(entries) == ["regression", "skipped"]
    assert entries[0]["run_ids"] == ["r1", "r2"]
    assert engine.ran == ["function", "function"]


def test_a_loss_that_does_not_come_again_is_no_regression(specs: list[RunSpec]) -> None:
    assert classes(checked(Scripted([SLOW, FAST, FAST]), specs)) == ["inconclusive", "pass"]


def test_on_a_busy_host_a_loss_is_no_regression(specs: list[RunSpec]) -> None:
    entries = checked(Scripted([SLOW, SLOW], pressure=60.0), specs)
    assert classes(entries) == ["inconclusive", "inconclusive"]
    assert "60 % CPU pressure" in entries[0]["message"]


def test_without_a_baseline_nothing_fails_and_that_is_said(specs: list[RunSpec], tmp_path: Path) -> None:
    (tmp_path / "baselines" / "function" / "cpu.json").unlink()
    entries = checked(Scripted([1000.0, FAST]), specs)
    assert classes(entries) == ["no_baseline", "pass"]
    assert "documented default, no baseline" in entries[0]["compared_with"]


def test_a_scenario_that_does_not_run_ends_the_tests_too(specs: list[RunSpec]) -> None:
    assert classes(checked(Scripted([FAST], status="failed"), specs)) == ["failed", "skipped"]


def test_on_request_the_others_are_run_all_the_same(specs: list[RunSpec]) -> None:
    assert classes(checked(Scripted([SLOW, SLOW, FAST]), specs, keep_going=True)) == ["regression", "pass"]


def test_no_scenario_may_take_longer_than_is_left(specs: list[RunSpec]) -> None:
    engine = Scripted([FAST, FAST])
    checked(engine, specs, limit_s=5.0)
    assert max(engine.limits_s) <= 5.0
    assert classes(checked(Scripted([]), specs, limit_s=0.0)) == ["skipped", "skipped"]


def test_the_whole_is_the_worst_of_its_scenarios() -> None:
    def level(*found: Any) -> tuple[str, int]:
        entries = [entry("s", classification, "") for classification in found]
        document = results(entries, suite="perf", host="h", tolerance=0.25, limit_s=600.0, duration_s=1.0)
        return document["level"], document["exit_code"]

    assert level("pass", "no_baseline") == ("no_baseline", 0)
    assert level("pass", "inconclusive", "no_baseline") == ("inconclusive", 0)
    assert level("pass", "regression", "skipped") == ("regression", 1)
    assert level("failed", "skipped") == ("failed", 3)
    assert level("pass", "skipped") == ("skipped", 3)


def test_the_work_of_a_spec_is_that_of_its_result(specs: list[RunSpec]) -> None:
    document = made("function", FAST, pressure=1.0, config=specs[0].stored_config)
    assert work_digest(document["config"]) == work_digest(specs[0].stored_config)
