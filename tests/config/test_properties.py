"""Whatever a person writes, the answer is a list of problems and never an exception."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.config.check import check
from harness.config.compose import Composer, _hydra, compose
from harness.config.composed import Composed
from harness.config.spec import RunSpec
from harness.errors import Problem
from harness.measure.catalogue import load_catalogue

RULES = 'threshold.rules=[{metric: iteration.duration_ms, stat: p95, critical: "> 5", when: {device: cpu}}]'
METRICS = "metrics={tokens: {unit: s, better: higher}}"

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=8)
known = st.sampled_from(["_target_", "rules", "metric", "kind", "cpus", "warmup", "wramup", "unit"])
names = known | st.text(max_size=6)
values = st.recursive(
    scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(names, below, max_size=3), max_leaves=6
)


@pytest.fixture(scope="module")
def base() -> Composed:
    composed = compose(["scenario=function", RULES, METRICS])
    layers = composed.layers
    assert check(composed, load_catalogue()) == []
    return replace(composed, trace=lambda: layers)


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in steps:
        yield (*above, step)
        yield from paths(below, (*above, step))


def mutate(config: dict[str, Any], data: st.DataObject) -> None:
    """Replaces, deletes or adds something somewhere."""
    path = data.draw(st.sampled_from(list(paths(config))))
    parent: Any = config
    for step in path[:-1]:
        parent = parent[step]
    match data.draw(st.sampled_from(["replace", "delete", "add"])):
        case "delete":
            del parent[path[-1]]
        case "add" if isinstance(parent, dict):
            parent[data.draw(names)] = data.draw(values)
        case _:
            parent[path[-1]] = data.draw(values)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_configuration_is_answered_with_problems_or_can_be_run(base: Composed, data: st.DataObject) -> None:
    config = copy.deepcopy(base.config)
    for _ in range(data.draw(st.integers(1, 4))):
        mutate(config, data)
    mutated = replace(base, config=config)
    problems = check(mutated, load_catalogue())
    assert all(isinstance(problem, Problem) and problem.place and problem.message for problem in problems)
    if not problems:
        assert json.dumps(RunSpec.from_composed(mutated, {}).stored_config)


FRAGMENTS = """
scenario=function scenario= scenario=none ~scenario telemetry=light telemetry=[full,light] ++ x measure .warmup = -1 , ;
${ } ${measure} ${oc.env:NOPE} ' " [ ] {a:1} ( ) glob(*) choice(1,2) range(3) interval(0,1) @ : hydra.mode=MULTIRUN
suite=smoke seed threshold.rules.0 metrics null true 1e400 / \\ ü device@x=cpu _target_ ???
"""
fragments = st.sampled_from([*FRAGMENTS.split(), " ", "\n"])
overrides = st.lists(st.lists(fragments, min_size=1, max_size=5).map("".join) | st.text(max_size=12), max_size=4)


@settings(max_examples=20, deadline=None)
@given(overrides)
def test_any_words_are_answered_with_a_configuration_or_with_problems(words: list[str]) -> None:
    with _hydra():
        composer = Composer.over(())
        whole = composer.compose(words)
        check(whole, load_catalogue())
        if whole.mode == "MULTIRUN":
            composer.expand(words)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=40)
    | st.text(max_size=60).map(str.encode)
    | values.map(lambda value: f"# @package _global_\nscenario: {json.dumps(value)}\n".encode())
    | values.map(lambda value: f"# @package _global_\ndefaults: {json.dumps(value)}\n".encode())
    | values.map(lambda value: f"# @package _global_\n{json.dumps(value)}\n".encode())
)
def test_any_file_is_answered_with_problems_or_can_be_run(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scenario").mkdir(exist_ok=True)
    (tmp_path / "scenario" / "any.yaml").write_bytes(content)
    composed = compose(["scenario=any"], [tmp_path])
    assert all(str(problem) for problem in check(composed, load_catalogue()))
