"""Schemas read from signatures: what they accept, what they refuse, and what they cannot know."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, TypedDict

import pytest

from harness.config.sentences import Validator
from harness.config.signature import describe_targets, find, schema_of
from harness.config.targets import POSITIONAL
from harness.ranges import Range
from tests.config.examples import EXAMPLES

Count = NewType("Count", int)


class Fault(TypedDict):
    epoch: Annotated[int, Range(min=1)]
    kind: NotRequired[Literal["nan", "late"]]


@dataclass
class Deadline:
    at_least_ms: Annotated[float, Range(above=0)]
    times_median: float = 20.0
    tags: list[str] = field(default_factory=list)
    inner: "Deadline | None" = None


class Runner:
    """Does something.

    In more than one line.
    """

    def __init__(
        self,
        *,
        epochs: Annotated[int, Range(min=1, max=9)],
        rate: Annotated[float, Range(min=0, below=1)] | None,
        mode: Literal["a", "b"] | None,
        seed: Annotated[int | None, Range(min=0)] = None,
        auto: Literal["auto"] | Annotated[int, Range(min=1)] = "auto",
        lines: str | Sequence[str] = (),
        pair: tuple[int, str] = (1, "a"),
        sizes: tuple[int, ...] = (),
        table: Mapping[str, float] | None = None,
        fault: Fault | None = None,
        deadline: Deadline | None = None,
        count: Count = Count(1),
        old: Optional[bool] = None,  # noqa: UP045 - the old spelling is what is tested
        folder: Path | None = None,
        model: Callable[..., Any] | None = None,
        anything: Any = None,
        bare=None,  # type: ignore[no-untyped-def]
    ) -> None: ...


GOOD: dict[str, list[Any]] = {
    "epochs": [1, 9],
    "rate": [0, 0.0, 0.99, None],
    "mode": ["a", None],
    "seed": [0, None],
    "auto": ["auto", 1],
    "lines": ["a", ["a", "b"], []],
    "pair": [[1, "a"]],
    "sizes": [[], [1, 2, 3]],
    "table": [{"a": 1, "b": 0.5}, None],
    "fault": [{"epoch": 1}, {"epoch": 1, "kind": "nan"}, None],
    "deadline": [{"at_least_ms": 1}, {"at_least_ms": 1, "inner": {"at_least_ms": 2}}],
    "count": [3],
    "old": [True, None],
    "folder": ["a/b", None],
    "model": [{"a": 1}, None, "x"],
    "anything": [1, "a", [], {}],
    "bare": [1, "a", [], {}],
}
BAD: dict[str, list[Any]] = {
    "epochs": [0, 10, 1.0, "1", True, None],
    "rate": [-0.1, 1, 1.0, "0", True],
    "mode": ["c", 1],
    "seed": [-1, 0.5],
    "auto": ["never", 0, None],
    "lines": [1, [1]],
    "pair": [[1], [1, "a", 2], ["a", 1]],
    "sizes": ["a", [1.5]],
    "table": [{"a": "b"}, []],
    "fault": [{}, {"epoch": 0}, {"epoch": 1, "knid": "nan"}, {"epoch": 1, "kind": "x"}],
    "deadline": [{}, {"at_least_ms": 0}, {"at_least_ms": 1, "inner": {"at_least_ms": 0}}, {"at_least_ms": 1, "x": 1}],
    "count": ["3"],
    "old": [1],
    "folder": [3],
}


def part(name: str) -> dict[str, Any]:
    return schema_of(Runner)["properties"][name]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in GOOD.items() for value in values], ids=repr
)
def test_a_value_of_the_annotated_type_is_accepted(name: str, value: Any) -> None:
    assert list(Validator(part(name)).iter_errors(value)) == []


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values], ids=repr
)
def test_any_other_value_is_refused(name: str, value: Any) -> None:
    assert list(Validator(part(name)).iter_errors(value)) != []


def test_parameters_without_a_default_are_required_and_others_unknown() -> None:
    schema = schema_of(Runner)
    assert schema["required"] == ["epochs", "rate", "mode"]
    assert schema["additionalProperties"] is False
    assert schema["description"] == "Does something."
    assert POSITIONAL not in schema
    Validator.check_schema(schema)


def test_further_keywords_are_accepted_where_the_signature_takes_them() -> None:
    def takes(first: int, /, second: int, *rest: int, third: int = 3, **more: int) -> None: ...

    schema = schema_of(takes)
    assert schema["additionalProperties"] is True
    assert schema["required"] == ["second"]
    assert schema[POSITIONAL] == ["first", "second"]
    assert set(schema["properties"]) == {"second", "third"}


def test_what_has_no_signature_accepts_anything() -> None:
    assert schema_of(dict)["type"] == "object"
    assert list(Validator(schema_of(dict)).iter_errors({"a": 1})) == []


def test_annotations_that_cannot_be_read_accept_anything() -> None:
    def takes(*, value: "NotImported") -> None: ...  # type: ignore[name-defined] # noqa: F821

    assert schema_of(takes)["properties"]["value"] == {}


@pytest.fixture
def users_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.mark.usefixtures("users_code")
def test_every_way_to_fail_is_described_and_none_stops_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needs_more.py").write_text("import absent_dependency\n")
    (tmp_path / "ends.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "unreadable.py").write_text("def f(:\n")
    names = [
        "mybench.tokenize",
        "mybroken.work",
        "absent.f",
        "needs_more.f",
        "ends.f",
        "unreadable.f",
        "mybench.Tokenize",
    ]
    found = describe_targets(names)
    assert found["mybench.tokenize"]["required"] == ["text_kb"]
    assert "ZeroDivisionError: division by zero" in found["mybroken.work"]["error"]
    assert "mybroken.py:3" in found["mybroken.work"]["error"]
    assert "no module 'absent'" in found["absent.f"]["error"]
    assert "--config-dir" in found["absent.f"]["hint"]
    assert "ModuleNotFoundError: No module named 'absent_dependency'" in found["needs_more.f"]["error"]
    assert "SystemExit: 3" in found["ends.f"]["error"]
    assert "unreadable.py:1" in found["unreadable.f"]["error"]
    assert found["mybench.Tokenize"]["hint"] == "did you mean 'tokenize'?"


def test_an_attribute_of_a_class_can_be_named() -> None:
    assert find("pathlib.Path.cwd")() == Path.cwd()


def test_reading_signatures_loads_neither_torch_nor_hydra_nor_the_validator() -> None:
    import subprocess

    code = (
        "import sys, harness.config.signature; print([m for m in ('torch', 'hydra', 'jsonschema') if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.strip() == "[]"
