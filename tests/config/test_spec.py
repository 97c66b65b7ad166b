"""The specification of a run: typed, frozen, and with a digest that a reader of the result can check."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from harness.config.compose import compose
from harness.config.spec import Affinity, RunSpec
from harness.results.canonical import digest


def spec(*overrides: str, environ: dict[str, str] | None = None) -> RunSpec:
    composed = compose(["scenario=function", *overrides])
    assert composed.problems == []
    return RunSpec.from_composed(composed, environ or {})


def test_every_part_of_the_configuration_has_a_name_and_a_type() -> None:
    found = spec("measure.warmup=2", "affinity.cpus=[0,1]", "tags=[a]", "limits.memory_mb=512", "strict=true")
    assert (found.scenario, found.device, found.model) == ("function", "cpu", None)
    assert found.target == "harness.scenarios.function.Function"
    assert (found.measure.warmup, found.limits.memory_mb, found.tags, found.strict) == (2, 512, ("a",), True)
    assert found.affinity == Affinity(threads=1, cpus=(0, 1), nice=0)
    assert (found.lock.mode, found.telemetry.level, found.worker.start) == ("exclusive", "full", "fork")
    assert found.overrides[0] == "scenario=function"
    assert found.rules == ()


def test_rules_are_those_of_the_threshold() -> None:
    found = spec('threshold.rules=[{metric: iteration.duration_ms, stat: p95, critical: "> 5"}]')
    assert [rule["critical"] for rule in found.rules] == ["> 5"]


def test_a_specification_is_never_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        spec().seed = 3  # type: ignore[misc]


def test_the_digest_is_that_of_the_stored_configuration_as_results_spell_it() -> None:
    found = spec("scenario.arguments={mebibytes: 2}", "tags=['ü']")
    assert found.digest == digest(found.stored_config)
    assert found.digest != spec().digest
    assert spec().digest == spec().digest


def test_the_worker_gets_the_secret_and_the_store_does_not() -> None:
    found = spec(
        "scenario.arguments={mebibytes: 1, api_key: from-argument}",
        "tags=[from-environment]",
        environ={"A_TOKEN": "from-environment"},
    )
    assert found.config["scenario"]["arguments"]["api_key"] == "from-argument"
    assert found.stored_config["scenario"]["arguments"] == {"mebibytes": 1, "api_key": "[redacted]"}
    assert found.stored_config["tags"] == ["[redacted]"]
    assert found.secrets == {"from-argument", "from-environment"}


def test_a_scenario_without_an_option_is_named_after_its_target() -> None:
    composed = compose(["scenario._target_=time.monotonic_ns"])
    assert composed.problems == []
    assert RunSpec.from_composed(composed, {}).scenario == "monotonic_ns"


def test_a_users_scenario_that_says_nothing_of_them_has_the_stated_defaults(tmp_path: Path) -> None:
    (tmp_path / "scenario").mkdir()
    own = "# @package _global_\n# Mine.\nscenario: {_target_: json.dumps, obj: 1}\n"
    (tmp_path / "scenario" / "mine.yaml").write_text(own)
    composed = compose(["scenario=mine"], [tmp_path])
    assert composed.problems == []
    found = RunSpec.from_composed(composed, {}).measure
    assert (found.warmup, found.iterations, found.timeout_s) == (3, 10, 300.0)
