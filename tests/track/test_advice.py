"""Each rule on real runs: a planted cause, a negative control, and a rerun that shows that the action helped."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.measure import psi
from harness.results import baseline
from tests.command_line import CommandLine
from tests.track.workloads import UNITS

WAITING = threading.Event()  # never set: between two looks at the pressure, which nothing tells of
pytestmark = pytest.mark.slow


class Advised:
    """One user whose runs are asked for their advice."""

    def __init__(self, folder: Path) -> None:
        self.user = CommandLine(folder / "outputs")
        (folder / "baselines").mkdir()
        self.folder = folder

    def run(self, function: str, *overrides: str, **arguments: Any) -> dict[str, Any]:
        given = ", ".join(f"{name}: {value}" for name, value in arguments.items())
        words = [f"scenario.function=tests.track.workloads:{function}", f"scenario.arguments={{{given}}}"]
        done = self.user.run("scenario=function", *words, *overrides, cwd=self.folder)
        assert done.returncode in (0, 3), done.stderr
        return self.user.result()


@pytest.fixture
def advised(tmp_path: Path) -> Advised:
    return Advised(tmp_path)


def rules(document: dict[str, Any]) -> list[str]:
    return [entry["rule"] for entry in document["recommendations"]["found"]]


def others(document: dict[str, Any]) -> float:
    """How many CPUs other work of the host took."""
    sensors = document["telemetry"]["sensors"]
    used, host = sensors["tree.cpu_percent"]["value"], sensors["host.cpu_percent"]["value"]
    return float(host) / 100 * float(document["environment"]["cpu"]["cores"]) - float(used) / 100


def test_memory_near_its_limit(advised: Advised) -> None:
    plan = ("measure.iterations=200", "telemetry.interval_s=0.05")
    planted = advised.run("hold", "limits.memory_mb=400", *plan, megabytes=330)
    control = advised.run("hold", "limits.memory_mb=400", *plan, megabytes=20)
    helped = advised.run("hold", "limits.memory_mb=900", *plan, megabytes=330)
    assert "memory_near_limit" in rules(planted)
    assert "memory_near_limit" not in rules(control) + rules(helped)


def test_out_of_memory(advised: Advised) -> None:
    planted = advised.run("hold", "limits.memory_mb=150", "measure.iterations=20000", megabytes=400)
    control = advised.run("hold", "limits.memory_mb=150", megabytes=20)
    helped = advised.run("hold", "limits.memory_mb=900", megabytes=400)
    assert rules(planted)[0] == "out_of_memory"
    assert "out_of_memory" not in rules(control) + rules(helped)
    assert (planted["status"], helped["status"]) == ("failed", "completed")
    assert any("out_of_memory" in line for line in planted["anomalies"])


def test_a_time_limit(advised: Advised) -> None:
    work = ("scenario.function=harness.scenarios.function:hash_blocks", "measure.iterations=4000")
    planted = advised.run("hold", *work, "measure.timeout_s=0.4")
    control = advised.run("hold", "scenario.function=harness.scenarios.function:hash_blocks")
    helped = advised.run("hold", *work, "measure.timeout_s=300")
    assert rules(planted)[0] == "timed_out"
    assert "timed_out" not in rules(control) + rules(helped)
    assert helped["iterations"]["completed"] == 4000 > planted["iterations"]["completed"]


def test_iterations_that_fail(advised: Advised) -> None:
    planted, control = advised.run("fail_every", turn=3), advised.run("fail_every", turn=0)
    assert rules(planted)[0] == "iterations_fail"
    assert "iterations_fail" not in rules(control), "what the errors named was repaired"


def test_a_warm_up_that_is_too_short(advised: Advised) -> None:
    plan = ("measure.iterations=60",)
    planted = advised.run("cold_start", "measure.warmup=0", *plan, slow_calls=6)
    control = advised.run("cold_start", "measure.warmup=3", *plan, slow_calls=0)
    (entry,) = (one for one in planted["recommendations"]["found"] if one["rule"] == "warmup_too_short")
    helped = advised.run("cold_start", f"measure.warmup={entry['facts']['warmup.slow']:.0f}", *plan, slow_calls=6)
    assert entry["facts"]["warmup.slow"] >= 6
    assert "warmup_too_short" not in rules(control) + rules(helped)


def test_costly_telemetry(advised: Advised) -> None:
    work = {"count": 12, "units": 2000}
    plan = ("measure.warmup=0", "measure.iterations=3")
    planted = advised.run("in_processes", "telemetry.interval_s=0.01", *plan, **work)
    control = advised.run("in_processes", "telemetry.interval_s=0.5", *plan, **work)
    helped = advised.run("in_processes", "telemetry=light", *plan, **work)
    assert "telemetry_costly" in rules(planted)
    assert "telemetry_costly" not in rules(control) + rules(helped)
    shares = [document["telemetry"]["sampler"]["cpu_share"] for document in (planted, helped)]
    assert shares[1] < shares[0] / 2


def test_throughput_a_quarter_under_its_baseline(advised: Advised) -> None:
    plan = ("measure.iterations=200",)
    environment = advised.user.environment
    environment[UNITS] = "4"
    before = advised.run("hash_units", *plan)
    baseline.save({**before, "contended": False}, advised.folder / "baselines")
    environment[UNITS] = "40"
    planted = advised.run("hash_units", *plan)
    environment[UNITS] = "4"
    helped = advised.run("hash_units", *plan)
    assert "throughput_below_expected" in rules(planted)
    assert planted["recommendations"]["throughput"]["source"] == f"baseline {before['run_id']}"
    assert "throughput_below_expected" not in rules(before) + rules(helped), "the slow code was taken back"


def test_all_cpus_used(advised: Advised) -> None:
    cpu, *more = sorted(os.sched_getaffinity(0))
    if not more:
        pytest.skip("there is one CPU only")
    plan, work = ("measure.warmup=0", "measure.iterations=4", "telemetry.interval_s=0.1"), {"count": 3, "units": 12000}
    planted = advised.run("in_processes", f"affinity.cpus=[{cpu}]", *plan, **work)
    control = advised.run("in_processes", f"affinity.cpus=[{cpu}]", *plan, count=1, units=12000)
    helped = advised.run("in_processes", f"affinity.cpus=[{cpu},{more[0]}]", *plan, **work)
    if max(map(others, (planted, control, helped))) > 0.3:
        pytest.skip("other work took the CPUs meanwhile")
    assert "cpu_saturated" in rules(planted)
    assert "cpu_saturated" not in rules(control)
    times = [document["metrics"]["iteration.duration_ms"]["statistics"]["p50"] for document in (planted, helped)]
    assert times[1] < times[0] / 1.3


def test_a_busy_host(advised: Advised) -> None:
    if (before := psi.pressure("cpu")) is None or before > 10:
        pytest.skip("the host is not quiet, or does not tell")
    work = ("scenario.function=harness.scenarios.function:hash_blocks", "measure.iterations=3000")
    control = advised.run("hold", *work)
    code = "while True: pass"
    burners = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        while (psi.pressure("cpu") or 0) < 40:
            WAITING.wait(0.2)
        planted = advised.run("hold", *work)
    finally:
        for burner in burners:
            burner.send_signal(signal.SIGKILL)
            burner.wait()
    while (psi.pressure("cpu") or 0) > 10:
        WAITING.wait(0.2)
    helped = advised.run("hold", *work)
    if max(map(others, (control, helped))) > 0.3:
        pytest.skip("other work took the CPUs meanwhile")
    assert "host_busy" in rules(planted)
    assert "host_busy" not in rules(control) + rules(helped)
