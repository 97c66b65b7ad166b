import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results.canonical import canonical, clean, digest, file_digest, pretty

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner), max_leaves=20
)


@given(anything)
def test_a_cleaned_value_survives_both_spellings(value: object) -> None:
    cleaned = clean(value)
    assert json.loads(pretty(cleaned)) == cleaned
    assert json.loads(canonical(cleaned)) == cleaned
    assert clean(cleaned) == cleaned


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_digest_does_not_depend_on_the_order_of_keys(value: dict[str, int]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


def test_numbers_that_json_does_not_have_become_null_and_are_told_with_their_place() -> None:
    notes: list[str] = []
    found = clean({"a": [1.0, float("nan")], "b": {"c": float("-inf")}}, "telemetry", notes)
    assert found == {"a": [1.0, None], "b": {"c": None}}
    assert notes == ["telemetry.a.1 was nan and is stored as null", "telemetry.b.c was -inf and is stored as null"]


def test_foreign_objects_become_text_and_are_told() -> None:
    notes: list[str] = []
    found = clean({"path": Path("a/b"), "set": frozenset([1]), 3: (1, 2)}, "x", notes)
    assert found == {"path": "a/b", "set": "frozenset({1})", "3": [1, 2]}
    assert notes == ["x.set was of type frozenset and is stored as text"]


def test_half_a_surrogate_pair_does_not_reach_a_file() -> None:
    assert clean("a\udc80b") == "a?b"


@pytest.mark.parametrize("spell", [canonical, pretty])
def test_no_spelling_writes_nan(spell: object) -> None:
    with pytest.raises(ValueError):
        spell({"a": float("nan")})  # type: ignore[operator]


def test_ten_thousand_samples_are_one_line() -> None:
    text = pretty({"samples": [0.5] * 10_000, "nested": [{"a": 1}, []], "empty": {}}).decode()
    assert len(text.splitlines()) == 10
    assert text.splitlines()[1].startswith('  "samples": [0.5, 0.5')


def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
