import asyncio
import functools
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.config.build import build
from harness.errors import BenchmarkFailed, ConfigError
from harness.paths import data
from harness.runner import Runner
from harness.scenarios.function import Function, FunctionRunner, hash_blocks
from tests.scenarios.contexts import by_hand


def lazily(n: int = 1) -> Iterator[int]:
    yield n


async def later() -> None:
    await asyncio.sleep(0)


async def lazily_later() -> AsyncIterator[int]:
    yield 1


class Lazy:
    async def __call__(self) -> None:
        await asyncio.sleep(0)


class Work:
    calls = 0

    @classmethod
    def count(cls, by: int) -> None:
        cls.calls += by


def power(base: int, exponent: int = 2) -> dict[str, float]:
    return {"power": float(base**exponent)}


HERE = __name__


def test_one_call_is_one_iteration(tmp_path: Path) -> None:
    calls: list[int] = []
    runner = FunctionRunner(lambda: calls.append(1))
    context = by_hand(tmp_path).context
    runner.setup(context)
    for _ in range(7):
        assert runner.iterate(context) is None
    runner.teardown()
    assert len(calls) == 7
    assert isinstance(runner, Runner)


def test_a_mapping_is_handed_on_as_metrics(tmp_path: Path) -> None:
    assert FunctionRunner(lambda: {"rate": 1.5}).iterate(by_hand(tmp_path).context) == {"rate": 1.5}


@pytest.mark.parametrize("result", ["digest", b"digest"])
def test_text_and_bytes_are_the_outcome_that_two_runs_must_share(tmp_path: Path, result: str | bytes) -> None:
    context = by_hand(tmp_path).context
    FunctionRunner(lambda: result).iterate(context)
    assert context.outcome == hashlib.sha256(b"digest").hexdigest()


def test_a_bare_number_is_an_error_because_it_has_no_name(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match=r"returned the bare number 1\.5"):
        FunctionRunner(lambda: 1.5).iterate(by_hand(tmp_path).context)


def test_other_results_are_left_alone_which_is_said_once(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    runner = FunctionRunner(functools.partial(sorted, [3, 1, 2]))
    runner.iterate(hand.context)
    runner.iterate(hand.context)
    assert [(name, attributes["type"]) for name, attributes in hand.events] == [("function.result_ignored", "list")]


@pytest.mark.parametrize(
    "call",
    [lazily, later, lazily_later, functools.partial(lazily, n=2), Lazy()],
    ids=["generator", "coroutine", "asynchronous generator", "partial", "callable object"],
)
def test_what_only_prepares_work_is_refused_before_anything_is_timed(tmp_path: Path, call: Any) -> None:
    with pytest.raises(ConfigError, match="runs nothing of it; wrap it"):
        FunctionRunner(call).setup(by_hand(tmp_path).context)


@pytest.mark.parametrize("call", [lazily, later, lazily_later])
def test_a_hidden_generator_or_coroutine_is_refused_when_it_comes_back(tmp_path: Path, call: Any) -> None:
    runner = FunctionRunner(lambda: call())
    context = by_hand(tmp_path).context
    runner.setup(context)
    with pytest.raises(BenchmarkFailed, match="runs nothing of it"):
        runner.iterate(context)


def test_an_exception_of_the_function_passes_through(tmp_path: Path) -> None:
    def broken() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        FunctionRunner(broken).iterate(by_hand(tmp_path).context)


def test_a_named_function_is_called_with_its_arguments(tmp_path: Path) -> None:
    runner = Function(function=f"{HERE}:power", arguments={"base": 3})
    context = by_hand(tmp_path).context
    runner.setup(context)
    assert runner.iterate(context) == {"power": 9.0}
    runner.teardown()


def test_a_method_of_a_class_can_be_named(tmp_path: Path) -> None:
    runner = Function(function=f"{HERE}:Work.count", arguments={"by": 2})
    context = by_hand(tmp_path).context
    runner.setup(context)
    runner.iterate(context)
    assert Work.calls == 2


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("power", "must be package.module:name"),
        (":power", "must be package.module:name"),
        ("no_such_module:power", "No module named 'no_such_module'"),
        (f"{HERE}:powr", "there is no 'powr' in it; did you mean 'power'"),
        (f"{HERE}:HERE", "is str, which cannot be called"),
        (f"{HERE}:lazily", "a generator and runs nothing of it"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused_with_the_reason(
    tmp_path: Path, function: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Function(function=function, arguments={}).setup(by_hand(tmp_path).context)


@pytest.mark.parametrize("arguments", [{}, {"bas": 1}, {"base": 1, "exponent": 2, "more": 3}], ids=str)
def test_wrong_arguments_are_refused_with_the_signature(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"power\(base: int, exponent: int = 2\) -> .*does not take"):
        Function(function=f"{HERE}:power", arguments=arguments).setup(by_hand(tmp_path).context)


def test_a_function_without_a_signature_is_called_all_the_same(tmp_path: Path) -> None:
    runner = Function(function="builtins:dict", arguments={"rate": 2})
    context = by_hand(tmp_path).context
    runner.setup(context)
    assert runner.iterate(context) == {"rate": 2}


def test_the_shipped_default_does_real_work(tmp_path: Path) -> None:
    node = yaml.safe_load((data("conf") / "scenario" / "function.yaml").read_text(encoding="utf-8"))["scenario"]
    runner, context = build(node), by_hand(tmp_path).context
    runner.setup(context)
    runner.iterate(context)
    expected = hashlib.sha256(bytes(range(256)) * 4096).hexdigest()
    assert hash_blocks(1) == expected
    assert context.outcome == hashlib.sha256(expected.encode()).hexdigest()


def test_a_plain_function_as_target_is_wrapped(tmp_path: Path) -> None:
    runner, context = build({"_target_": f"{HERE}.power", "base": 5}), by_hand(tmp_path).context
    runner.setup(context)
    assert runner.iterate(context) == {"power": 25.0}
