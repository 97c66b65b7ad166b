from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import BenchmarkFailed
from harness.measure.telemetry import TreeSampler
from harness.paths import data
from harness.scenarios.bench.telemetry import BenchTelemetry
from tests.scenarios.contexts import by_hand

SMALL: dict[str, Any] = {"level": "full", "interval_s": 0.05, "samples": 2, "storm_s": 0.05}
SMALL |= {"threads": 2, "children": 1, "memory_mb": 5}


def test_every_declared_figure_is_measured_and_the_load_ends(tmp_path: Path) -> None:
    runner, context = BenchTelemetry(**SMALL), by_hand(tmp_path).context
    runner.setup(context)
    try:
        figures = runner.iterate(context)
    finally:
        runner.teardown()
    assert set(figures) == {name for name in context.catalogue if name.startswith("bench.telemetry.")}
    assert all(figure > 0 for figure in figures.values())
    assert runner._tree is not None
    assert not TreeSampler(runner._tree.pid).sample().alive


def test_a_sampler_that_misses_processes_is_no_measurement(tmp_path: Path) -> None:
    runner, context = BenchTelemetry(**SMALL), by_hand(tmp_path).context
    runner.setup(context)
    runner._processes += 1
    try:
        with pytest.raises(BenchmarkFailed, match="did not see the 3 processes"):
            runner.iterate(context)
    finally:
        runner.teardown()


def test_the_shipped_file_measures_at_the_default_interval() -> None:
    node = yaml.safe_load((data("conf") / "scenario" / "bench_telemetry.yaml").read_text(encoding="utf-8"))["scenario"]
    default = yaml.safe_load((data("conf") / "telemetry" / "full.yaml").read_text(encoding="utf-8"))
    assert (node["level"], node["interval_s"]) == (default["level"], default["interval_s"])
