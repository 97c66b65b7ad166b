"""Scenarios as their YAML describes them, made small."""

from collections.abc import Mapping
from pathlib import Path

from harness.config.build import build
from harness.config.compose import compose
from harness.runner import Runner
from tests.scenarios.contexts import Hand, by_hand

SMALL = ["scenario.epochs=2", "scenario.steps=8", "data.budget_kb=32", "data.held_out=16", "scenario.snapshots.every=3"]


def runner(*overrides: str, small: bool = True) -> Runner:
    """The runner that these overrides compose to, two epochs of eight steps unless asked otherwise."""
    composed = compose([*(SMALL if small else []), *overrides])
    assert composed.problems == []
    return build(composed.config["scenario"])


def run_once(folder: Path, *overrides: str) -> tuple[Mapping[str, float], Hand]:
    """One measured iteration: what it returned, and everything it told."""
    hand, one = by_hand(folder), runner(*overrides)
    one.setup(hand.context)
    try:
        figures = one.iterate(hand.context)
    finally:
        one.teardown()
    assert figures is not None
    return figures, hand
