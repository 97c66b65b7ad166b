"""Building: classes and functions alike, nested nodes first, and every refusal with its place."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import pytest

from harness.config.build import build
from harness.errors import ConfigError
from harness.runner import Runner
from harness.scenarios.function import FunctionRunner

HERE = __name__


class Engine:
    def __init__(self, *, size: int) -> None:
        self.size = size


class Good:
    def __init__(self, *, engine: Engine | None = None, words: Any = None) -> None:
        if words == "refuse":
            raise ValueError("these words are not taken")
        self.engine = engine
        self.words = words

    def setup(self, context: object) -> None: ...

    def iterate(self, context: object) -> Mapping[str, float] | None:
        return None

    def teardown(self) -> None: ...


class NoRunner:
    def setup(self, context: object) -> None: ...


class Callable:
    def __init__(self, *, by: int) -> None:
        self.by = by

    def __call__(self) -> dict[str, float]:
        return {"by": float(self.by)}


def double(value: float) -> dict[str, float]:
    return {"doubled": 2 * value}


def test_a_class_becomes_an_instance_with_what_it_names_built_first() -> None:
    runner = build({"_target_": f"{HERE}.Good", "engine": {"_target_": f"{HERE}.Engine", "size": 3}})
    assert isinstance(runner, Good)
    assert isinstance(runner, Runner)
    assert isinstance(runner.engine, Engine)
    assert runner.engine.size == 3


def test_a_function_is_called_once_an_iteration() -> None:
    runner = build({"_target_": f"{HERE}.double", "value": 4})
    assert isinstance(runner, FunctionRunner)
    assert runner.iterate(None) == {"doubled": 8}  # type: ignore[arg-type]


def test_a_callable_object_is_measured_like_a_function() -> None:
    assert build({"_target_": f"{HERE}.Callable", "by": 2}).iterate(None) == {"by": 2.0}  # type: ignore[arg-type]


def test_a_partial_stays_a_partial() -> None:
    runner = build({"_target_": f"{HERE}.Good", "words": {"_target_": f"{HERE}.double", "_partial_": True}})
    assert isinstance(runner, Good)
    assert runner.words(value=1) == {"doubled": 2}


@pytest.mark.parametrize(
    "words",
    [
        "${HOME}",
        r"\${HOME}",
        r"\\${HOME}",
        r"a\b ${x:y} \ ",
        "$HOME",
        {"deep": {"er": "${a}"}},
        ["${a}", {"b": "${c}"}],
        "???x",
    ],
    ids=repr,
)
def test_values_arrive_as_they_were_resolved_and_as_plain_data(words: object) -> None:
    runner = build({"_target_": f"{HERE}.Good", "words": words})
    assert isinstance(runner, Good)
    assert runner.words == words
    assert type(runner.words) is type(words)


@pytest.mark.parametrize(
    ("node", "place", "said"),
    [
        ({}, "scenario._target_", "must be given"),
        ({"_target_": f"{HERE}.Absent"}, "scenario", "Absent"),
        ({"_target_": f"{HERE}.NoRunner"}, "scenario._target_", "has no iterate, teardown"),
        ({"_target_": f"{HERE}.Good", "wrods": 1}, "scenario", "wrods"),
        ({"_target_": f"{HERE}.Good", "words": "refuse"}, "scenario", "these words are not taken"),
        ({"_target_": f"{HERE}.Good", "engine": {"_target_": f"{HERE}.Engine"}}, "scenario.engine", "size"),
        ({"_target_": f"{HERE}.Good", "_recursive_": "yes"}, "scenario", "_recursive_"),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_place(node: dict[str, Any], place: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build(node)
    (problem,) = refused.value.problems
    assert problem.place == place
    assert said in problem.message
    assert "\n" not in problem.message


def test_hydras_policy_on_targets_applies() -> None:
    with pytest.raises(ConfigError):
        build({"_target_": "os.system", "command": "true"})


def test_a_measured_function_is_called_without_a_layer_of_ours_or_hydras() -> None:
    """Hydra's own partial object costs more than many a function that is measured."""
    runner = build({"_target_": "math.hypot", "_args_": [3.0, 4.0]})
    assert type(runner._call) is functools.partial
    assert runner._call.func is math.hypot
    assert runner._call() == 5.0
