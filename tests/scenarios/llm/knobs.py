"""The knobs that every llm scenario has, as its YAML gives them, with a calibration of nothing."""

from pathlib import Path
from typing import Any

from harness.llm.prompts import Generated
from harness.measure.samples import read_records
from harness.runner import Runner
from tests.scenarios.contexts import Hand, by_hand
from tests.scenarios.llm.scripted import ScriptedEngine

ASK: dict[str, Any] = {
    "prompt_tokens": 40,
    "max_tokens": 8,
    "ignore_eos": True,
    "temperature": 0.0,
    "top_p": 1.0,
    "stream": True,
    "endpoint": "chat",
    "prefix_cache": False,
    "extra": {},
}
PATIENCE: dict[str, Any] = {
    "connect_s": 1.0,
    "first_byte_s": 10.0,
    "silence_s": 10.0,
    "total_s": 20.0,
    "attempts": 1,
    "backoff_s": 0.1,
}
NO_LIMIT: dict[str, Any] = {"ttft_ms": None, "tpot_ms": None, "e2e_ms": None}


def common(engine: Any = None, *, keep: str = "nothing", **ask: Any) -> dict[str, Any]:
    """The keys of `llm_inference`, with changes to how everything is asked."""
    return {
        "engine": engine if engine is not None else ScriptedEngine(),
        "prompts": Generated(),
        "ask": {**ASK, **ask},
        "patience": PATIENCE,
        "calibration": {"seconds": 0.0},
        "keep": keep,
    }


def estimates(hand: Hand, metric: str) -> list[float]:
    """The measured samples of a metric, without the bounds of their intervals."""
    records = read_records(hand.context.samples.path)
    return [record.value for record in records if record.metric == metric and not record.flag]


def ran(runner: Runner, folder: Path, iterations: int = 1) -> Hand:
    """What the runner recorded in so many iterations."""
    hand = by_hand(folder)
    try:
        runner.setup(hand.context)
        for iteration in range(iterations):
            hand.context.iteration = iteration
            for name, value in (runner.iterate(hand.context) or {}).items():
                hand.context.record(name, value)
    finally:
        runner.teardown()
    return hand
