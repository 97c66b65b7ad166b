from typing import Any

import pytest

from harness.gates.conditions import unmet

DOCUMENT = {
    "device": "cuda",
    "choices": {"model": "transformer", "scenario": "rollback"},
    "config": {
        "device": {"kind": "auto"},
        "model": {"_target_": "x.Transformer", "layers": 2},
        "scenario": {"tiers": ["memory", "disk"], "amp": True},
        "seed": 1,
    },
}


@pytest.mark.parametrize(
    "when",
    [
        {},
        {"device": "cuda"},
        {"device.kind": ["cuda", "mps"]},
        {"model": "transformer"},
        {"model.layers": 2},
        {"scenario.tiers.0": "memory", "scenario.amp": True},
        {"seed": [0, 1]},
    ],
)
def test_a_rule_applies_where_each_condition_is_met(when: dict[str, Any]) -> None:
    assert unmet(when, DOCUMENT) is None


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ({"device": "cpu"}, "device=cpu, here cuda"),
        ({"model": ["linear", "mlp"]}, "model=linear or mlp, here transformer"),
        ({"seed": 1, "model.layers": 3}, "model.layers=3, here 2"),
        ({"seed": True}, "seed=True, here 1"),
    ],
)
def test_the_first_unmet_condition_is_told(when: dict[str, Any], text: str) -> None:
    assert unmet(when, DOCUMENT) == text


@pytest.mark.parametrize("path", ["scenario.epocs", "scenario.tiers.7", "seed.x"])
def test_a_condition_on_nothing_is_an_error_rather_than_never_met(path: str) -> None:
    with pytest.raises(LookupError, match=path):
        unmet({path: 1}, DOCUMENT)
