"""The random number generators of a process, saved and set back.

After a training step every cache is cold, and then the number of different functions touched decides how long a restore
takes: setting numpy's generator by its own call takes 100 µs, more than all the rest together. So a generator that was
not used is recognised by a few words of its state, and left alone.
"""

import _random
import ctypes
import functools
import random
import struct
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy
import torch
from numpy.random import get_bit_generator, set_bit_generator  # type: ignore[attr-defined]  # missing in its stubs
from torch import Tensor

from harness.controlloop.arena import Call
from harness.controlloop.snapshot import Part


def sources(device: torch.device) -> dict[str, Part]:
    """The generators that training on `device` can draw from, as parts of a snapshot."""
    parts: dict[str, Part] = {"rng.torch": TorchRandom(), "rng.python": PythonRandom(), "rng.numpy": NumpyRandom()}
    return parts | ({"rng.cuda": CudaRandom(device)} if device.type == "cuda" else {})


class TorchRandom:
    """torch's generator on the CPU: weights, dropout, permutations."""

    def state(self) -> Tensor:
        """A copy of its state."""
        return torch.default_generator.get_state()

    def calls(self, state: Tensor) -> Iterable[Call]:
        """One call, which copies."""
        return [(torch.default_generator.set_state, state)]


class CudaRandom:
    """torch's generator on one GPU. (Not exercised yet: written on machines without one.)"""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def state(self) -> Tensor:
        """A copy of its state."""
        return torch.cuda.get_rng_state(self._device)

    def calls(self, state: Tensor) -> Iterable[Call]:
        """One call, which copies."""
        return [(functools.partial(torch.cuda.set_rng_state, device=self._device), state)]


class PythonRandom:
    """The generator behind the functions of `random`.

    Its own `setstate` reads 625 integer objects that lie anywhere in memory, which cold caches make the longest part.
    CPython keeps position and key in one piece behind the object's head, so where that is seen to be so, the piece is
    copied instead.
    """

    _WORDS = struct.Struct("@i624I")  # position and key, as CPython's `RandomObject` holds them

    def __init__(self) -> None:
        self._instance: random.Random = random.random.__self__  # type: ignore[attr-defined]  # a bound method
        self._set_words = functools.partial(_random.Random.setstate, self._instance)
        self._memory = memoryview(b"")
        if sys.implementation.name == "cpython" and _random.Random.__basicsize__ >= self._end:
            raw = (ctypes.c_ubyte * self._WORDS.size).from_address(id(self._instance) + object.__basicsize__)
            self._memory = memoryview(raw).cast("B")
        self._set_raw = functools.partial(self._memory.__setitem__, slice(None))

    @property
    def _end(self) -> int:
        return object.__basicsize__ + self._WORDS.size

    def state(self) -> tuple[Any, ...]:
        """Version, words, and the normal number kept for the next call."""
        return random.getstate()

    def calls(self, state: tuple[Any, ...]) -> Iterable[Call]:
        """What `random.setstate` does, without its own frame, and in one copy where memory is as it is known to be."""
        _, words, kept = state
        raw = self._WORDS.pack(words[-1], *words[:-1])
        # Compared at each capture with what the generator's own call gave: a layout is believed only while it is seen.
        set_words = (self._set_raw, raw) if self._memory.tobytes() == raw else (self._set_words, words)
        return [set_words, (vars(self._instance).update, {"gauss_next": kept})]


class NumpyState(NamedTuple):
    """numpy's global generator: all of it, the raw words where they are all there is, and the last of these words."""

    full: Any
    words: bytes | None
    tail: bytes


class NumpyRandom:
    """The generator behind `numpy.random.rand` and its kin.

    numpy documents where its words lie (`BitGenerator.ctypes`: 624 of key, then the position). Every draw moves the
    position or, after a multiple of 624, all keys, so the last few words tell whether there was one. (They would not
    tell that somebody set an earlier state by hand in which a normal number was kept back.)
    """

    _TAIL = 17 * 4  # sixteen words of key and the position

    def __init__(self) -> None:
        self._source: Any = None
        self._memory: memoryview | None = None
        self._tail = memoryview(b"")
        self._last = NumpyState(None, None, b"")

    def _find(self) -> memoryview | None:
        """The generator's own words, None where it is not a Mersenne Twister; found again when someone replaced it."""
        source = get_bit_generator()
        if source is not self._source:
            self._source, self._memory, self._tail = source, None, memoryview(b"")
            if type(source) is numpy.random.MT19937:
                raw = (ctypes.c_uint32 * 625).from_address(source.ctypes.state_address)
                self._memory = memoryview(raw).cast("B")
                self._tail = self._memory[-self._TAIL :]
        return self._memory

    def state(self) -> NumpyState:
        """The state by numpy's own call; in raw form too, where both agree and no normal number is kept back.

        A generator that nobody used since the last time is recognised, as in a restore.
        """
        memory = self._find()
        if self._untouched(self._last):
            return self._last
        full = numpy.random.get_state(legacy=False)
        words = memory.tobytes() if memory is not None and not full["has_gauss"] else None
        if words is None or words != _words(full):
            return NumpyState(full, None, b"")
        self._last = NumpyState(full, words, words[-self._TAIL :])
        return self._last

    def _untouched(self, state: NumpyState) -> bool:
        return state.tail != b"" and get_bit_generator() is self._source and self._tail.tobytes() == state.tail

    def calls(self, state: NumpyState) -> Iterable[Call]:
        """One call, which finds out how much there is to do."""
        return [(self._set, state)]

    def _set(self, state: NumpyState) -> None:
        if self._untouched(state):
            return
        memory = self._find()  # 40 µs from here on, with cold caches
        if memory is None or state.words is None:
            numpy.random.set_state(state.full)
            return
        memory[:] = state.words
        set_bit_generator(self._source)  # the same one: this forgets a normal number kept back


def _words(full: Any) -> bytes:
    inner = full["state"]
    return bytes(inner["key"].astype("<u4").tobytes() + int(inner["pos"]).to_bytes(4, "little"))
