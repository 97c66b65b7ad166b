"""Values of snapshot parts go to JSON and bytes and come back as they were, and nothing else can come back."""

import json
import math
import pickle
import random
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.controlloop.batches import Position
from harness.controlloop.disktier.codec import decode, encode
from harness.controlloop.rng import NumpyRandom, NumpyState
from harness.errors import BenchmarkFailed

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


def there_and_back(value: Any) -> Any:
    sections: list[bytes] = []
    text = json.dumps(encode(value, sections), allow_nan=False)
    return decode(json.loads(text), sections)


@given(PLAIN)
def test_plain_values_come_back_with_their_types(value: Any) -> None:
    found = there_and_back(value)
    assert found == value
    assert repr(found) == repr(value)


def test_numbers_that_json_does_not_have_come_back() -> None:
    assert math.isnan(there_and_back(math.nan))
    assert there_and_back([math.inf, -math.inf, -0.0]) == [math.inf, -math.inf, -0.0]
    assert math.copysign(1, there_and_back(-0.0)) == -1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.bfloat16, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3)])
def test_tensors_come_back_bit_by_bit(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.randint(0, 2, shape).to(dtype)
    found = there_and_back({"one": tensor})["one"]
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(found, tensor)


def test_the_states_of_all_generators_come_back() -> None:
    random.random()
    assert there_and_back(random.getstate()) == random.getstate()
    numpy.random.standard_normal()
    state = NumpyRandom().state()
    found = there_and_back(state)
    assert isinstance(found, NumpyState)
    numpy.random.set_state(found.full)
    assert repr(numpy.random.get_state(legacy=False)) == repr(state.full)


def test_a_position_comes_back_as_one() -> None:
    found = there_and_back(Position(2, 7, torch.arange(5)))
    assert isinstance(found, Position)
    assert (found.passes, found.cursor, found.order.tolist()) == (2, 7, [0, 1, 2, 3, 4])


@pytest.mark.parametrize("value", [object(), {1, 2}, random.Random(), numpy.array([object()], dtype=object), print])
def test_what_a_file_cannot_keep_is_refused_when_it_is_written(value: Any) -> None:
    with pytest.raises(BenchmarkFailed, match="which a checkpoint cannot keep"):
        encode([value], [])


def test_nothing_that_is_read_chooses_what_is_built() -> None:
    """A pickle runs what it names. Here a name outside the list is an error, and bytes stay bytes."""
    payload = pickle.dumps(print)
    assert there_and_back(payload) == payload
    for hostile in (
        {"record": "Popen", "values": ["true"]},
        {"tensor": 0, "dtype": "load", "shape": [1]},
        {"array": 0, "dtype": "O", "shape": [1]},
        {"call": "os.system"},
    ):
        with pytest.raises((KeyError, ValueError)):
            decode(hostile, [bytes(8)])
