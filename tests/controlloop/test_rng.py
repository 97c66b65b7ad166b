import random

import numpy
import pytest
import torch

from harness.controlloop.rng import NumpyRandom, PythonRandom, TorchRandom, sources
from harness.controlloop.snapshot import Part

Draws = list[object]


def draws() -> Draws:
    """From every generator, also numbers of which one is kept for the next call."""
    drawn: Draws = [torch.rand(3).tolist(), random.random(), random.gauss(0, 1)]
    return [*drawn, numpy.random.rand(3).tolist(), numpy.random.randn(3).tolist(), numpy.random.binomial(9, 0.3)]


def restore(parts: dict[str, Part], saved: dict[str, object]) -> None:
    for name, part in parts.items():
        for call, value in part.calls(saved[name]):
            call(value)


@pytest.mark.parametrize("kept", ["nothing", "python", "numpy"])
def test_after_a_restore_all_generators_draw_the_same_again_however_often(kept: str) -> None:
    parts = sources(torch.device("cpu"))
    if kept == "python":
        random.gauss(0, 1)
    if kept == "numpy":
        numpy.random.randn(1)
    saved = {name: part.state() for name, part in parts.items()}
    expected = draws()
    for _ in range(3):
        restore(parts, saved)
        assert draws() == expected


@pytest.mark.parametrize("count", [1, 2, 623, 624, 625, 624 * 4])
def test_any_number_of_draws_from_numpy_is_noticed(count: int) -> None:
    part = NumpyRandom()
    saved = part.state()
    expected = numpy.random.get_state()[1].copy()  # type: ignore[index]
    numpy.random.randint(0, 2**32, count, dtype=numpy.uint32)
    for call, value in part.calls(saved):
        call(value)
    assert numpy.array_equal(numpy.random.get_state()[1], expected)  # type: ignore[index]
    assert numpy.random.get_state()[2] == saved.full["state"]["pos"]  # type: ignore[index]


def test_a_normal_number_kept_back_after_the_capture_is_forgotten() -> None:
    part = NumpyRandom()
    saved = part.state()
    assert saved.words is not None
    expected = numpy.random.randn(4).tolist()
    numpy.random.randn(1)
    for call, value in part.calls(saved):
        call(value)
    assert numpy.random.randn(4).tolist() == expected


def test_a_state_with_a_normal_number_kept_back_is_set_by_numpys_own_call() -> None:
    numpy.random.randn(1)
    part = NumpyRandom()
    saved = part.state()
    assert saved.words is None
    expected = numpy.random.randn(3).tolist()
    for call, value in part.calls(saved):
        call(value)
    assert numpy.random.randn(3).tolist() == expected


def test_a_replaced_numpy_generator_gets_the_state_too() -> None:
    part = NumpyRandom()
    saved = part.state()
    expected = numpy.random.rand(3).tolist()
    original = numpy.random.get_bit_generator()
    try:
        numpy.random.set_bit_generator(numpy.random.MT19937(9))
        for call, value in part.calls(saved):
            call(value)
        assert numpy.random.rand(3).tolist() == expected
    finally:
        numpy.random.set_bit_generator(original)


def test_an_unused_numpy_generator_is_read_once() -> None:
    part = NumpyRandom()
    assert part.state() is part.state()
    numpy.random.rand()
    assert part.state().full["state"]["pos"] != 624


def test_python_is_set_as_its_own_function_does() -> None:
    part = PythonRandom()
    saved = part.state()
    random.seed(99)
    for call, value in part.calls(saved):
        call(value)
    assert random.getstate() == saved


def test_the_state_of_torch_is_a_copy() -> None:
    part = TorchRandom()
    saved = part.state()
    before = saved.clone()
    torch.rand(1000)
    assert torch.equal(saved, before)


def test_a_gpu_has_a_generator_of_its_own() -> None:
    assert list(sources(torch.device("cpu"))) == ["rng.torch", "rng.python", "rng.numpy"]
    assert "rng.cuda" in sources(torch.device("cuda"))


def test_pythons_words_are_copied_as_one_piece_only_where_memory_shows_them() -> None:
    random.seed(11)
    part = PythonRandom()
    state = part.state()
    in_one_piece = list(part.calls(state))
    part._memory = memoryview(bytearray(part._WORDS.size))  # another layout than the one that is known
    by_its_own_call = list(part.calls(state))
    assert in_one_piece[0][1] != by_its_own_call[0][1] == state[1]
    expected = [random.random() for _ in range(2000)]
    for calls in (in_one_piece, by_its_own_call, in_one_piece):
        for call, value in calls:
            call(value)
        assert [random.random() for _ in range(2000)] == expected
