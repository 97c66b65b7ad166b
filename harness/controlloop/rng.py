"""The random number generators of a process, saved and set back in microseconds.

Setting numpy's global generator through its own call costs 60 µs, more than everything else of a restore together. Its
state is a plain struct that numpy documents (`BitGenerator.ctypes`: 624 words of key and the position), so it is read and
written in place, after a comparison with what numpy's own call gives; whatever does not compare equal takes the slow way.
"""

import ctypes
import random
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

_WORDS = 625  # of MT19937: 624 of key, then the position


@dataclass(frozen=True, slots=True)
class NumpyState:
    """numpy's global generator: `words` is its raw state where that is known to be all there is, else None."""

    full: Any
    words: numpy.ndarray[Any, Any] | None


@dataclass(frozen=True, slots=True)
class RandomState:
    """What all generators would draw next."""

    torch: Tensor
    python: tuple[Any, ...]
    numpy: NumpyState
    device: Tensor | None


class RandomSources:
    """The part of a snapshot that makes dropout, shuffling and augmentation draw the same numbers again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._generator = torch.default_generator
        self._numpy = GlobalNumpy()

    def state(self) -> RandomState:
        """The states of torch, Python and numpy, and of the device where it has its own."""
        device = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
        return RandomState(self._generator.get_state(), random.getstate(), self._numpy.state(), device)

    def restore(self, state: RandomState) -> None:
        """Sets all of them back."""
        self._generator.set_state(state.torch)
        random.setstate(state.python)
        self._numpy.restore(state.numpy)
        if state.device is not None:
            torch.cuda.set_rng_state(state.device, self._device)


class GlobalNumpy:
    """The generator behind `numpy.random.rand` and its kin."""

    def __init__(self) -> None:
        self._source: Any = None
        self._words: numpy.ndarray[Any, Any] | None = None

    def _memory(self) -> numpy.ndarray[Any, Any] | None:
        """The generator's own words, None where it is not a Mersenne Twister; found again when someone replaced it."""
        source = numpy.random.get_bit_generator()
        if source is not self._source:
            self._source, self._words = source, None
            if type(source) is numpy.random.MT19937:
                raw = (ctypes.c_uint32 * _WORDS).from_address(source.ctypes.state_address)
                self._words = numpy.ctypeslib.as_array(raw)
        return self._words

    def state(self) -> NumpyState:
        """The state now, by numpy's own call."""
        words, full = self._memory(), numpy.random.get_state(legacy=False)
        return NumpyState(full, words.copy() if words is not None and _is_whole(words, full) else None)

    def restore(self, state: NumpyState) -> None:
        """Sets the state; in place where its words are all there is."""
        words = self._memory()
        if words is None or state.words is None:
            numpy.random.set_state(state.full)
            return
        words[:] = state.words
        numpy.random.set_bit_generator(self._source)  # the same one: this forgets a normal number kept for the next call


def _is_whole(words: numpy.ndarray[Any, Any], full: Any) -> bool:
    """Whether the raw words say everything that `full` says: same key and position, and no normal number kept back."""
    inner = full["state"]
    return bool(not full["has_gauss"] and words[-1] == inner["pos"] and numpy.array_equal(words[:-1], inner["key"]))
