"""Flat memory that holds a whole training state, so that one copy moves all of it and one pointer swap replaces it.

Every arena of a layout has the same offsets. The live tensors are views of one arena's storage; exchanging the memory
behind two storages therefore gives all of them another state at once, whatever their number and size. (Setting `.data`
costs 0.2 µs a tensor with warm caches and 0.7 µs with the cold ones that a training step leaves.)
"""

import ctypes
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import xxhash
from torch import Tensor

from harness.errors import BenchmarkFailed

ALIGNMENT = 64  # a cache line, and the widest vector register

# Up to here memcpy is the fastest (by 5 % at 1 MB), above it torch's copy of 64-bit words (by 8 to 20 %, one thread).
_CACHED = 6 * 2**20

# In torch since the spring of 2026; older versions take the slower way below.
SWAPS_STORAGES = hasattr(torch.UntypedStorage, "_swap_data_ptr_")

_memmove = ctypes.memmove

Call = tuple[Callable[[Any], object], Any]  # made as call(value)
Allocate = Callable[[int, torch.device], Tensor]


@dataclass(frozen=True)
class Place:
    """Where one tensor lies in every arena of a layout."""

    name: str
    block: int
    offset: int
    bytes: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def allocate(size: int, device: torch.device) -> Tensor:
    """`size` zeroed bytes that are really there: the first touch of memory costs ten times what copying does."""
    if device.type != "cpu":  # not exercised yet: written on machines without a GPU
        return torch.zeros(size, dtype=torch.uint8, device=device)
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8).zero_()


class Layout:
    """The offsets of named tensors, one block of memory for each device that they are on."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Places the tensors in the order given.

        Raises:
            BenchmarkFailed: a tensor's elements overlap or have gaps, so its bytes are not its own.
        """
        self.devices: list[torch.device] = []
        self.sizes: list[int] = []
        self.places = [self._place(name, tensor) for name, tensor in tensors.items()]
        self.bytes = sum(self.sizes)

    def _place(self, name: str, tensor: Tensor) -> Place:
        if not _dense(tensor):
            raise BenchmarkFailed(
                f"the tensor {name!r} shares or skips memory: shape {tuple(tensor.shape)}, stride {tensor.stride()}",
                "make it contiguous before training",
            )
        if tensor.device not in self.devices:
            self.devices.append(tensor.device)
            self.sizes.append(0)
        block = self.devices.index(tensor.device)
        offset = self.sizes[block]
        self.sizes[block] += -(-max(tensor.nbytes, 1) // ALIGNMENT) * ALIGNMENT
        return Place(name, block, offset, tensor.nbytes, tensor.dtype, tuple(tensor.shape), tensor.stride())


def _dense(tensor: Tensor) -> bool:
    """Whether the elements fill their memory exactly once, in whatever order."""
    expected = 1
    for stride, size in sorted((s, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1):
        if stride != expected:
            return False
        expected *= size
    return True


class Arena:
    """The memory of one whole state."""

    def __init__(self, layout: Layout, allocate: Allocate = allocate) -> None:
        self.layout = layout
        self.blocks = [allocate(size, device) for size, device in zip(layout.sizes, layout.devices, strict=True)]
        self.storages = [block.untyped_storage() for block in self.blocks]
        self._words = [block.view(torch.int64) for block in self.blocks]
        self._is_small = len(self.blocks) == 1 and layout.devices[0].type == "cpu" and layout.bytes <= _CACHED
        self.moved = True
        self.views = [self._view(place) for place in self.layout.places]

    def _view(self, place: Place) -> Tensor:
        flat = self.blocks[place.block][place.offset : place.offset + place.bytes].view(place.dtype)
        return flat.as_strided(place.shape, place.stride)

    def copy_from(self, other: "Arena") -> None:
        """Takes over every byte of `other`, one flat copy a block."""
        if self._is_small:
            if self.moved or other.moved:  # asking torch for two addresses each time would cost 4 % of copying 1 MB
                self._locate()
                other._locate()
            _memmove(self._address, other._address, self._size)
            return
        for words, source in zip(self._words, other._words, strict=True):
            words.copy_(source)

    def _locate(self) -> None:
        self._address, self._size, self.moved = self.blocks[0].data_ptr(), self.layout.bytes, False

    def trade(self, other: "Arena") -> None:
        """Swaps what two arenas consist of, views included; tensors that were pointed at the views must follow."""
        self.blocks, other.blocks = other.blocks, self.blocks
        self._words, other._words = other._words, self._words
        self.storages, other.storages = other.storages, self.storages
        self.views, other.views = other.views, self.views

    def digest(self) -> str:
        """The hash of every byte: evidence that a state changed, or that it did not."""
        hasher = xxhash.xxh3_128()
        for block in self.blocks:
            hasher.update(block.cpu().numpy().data)
        return hasher.hexdigest()


Home = tuple[Mapping[Any, Any], Any]


def homes(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Home]:
    """Where every tensor of a training state is kept, by name: parameters, buffers, the optimizer's state and settings.

    A parameter that two modules share is named once.
    """
    found: dict[str, Home] = {}
    seen: set[int] = set()
    names: dict[Tensor, str] = {}
    for path, module in model.named_modules():
        for home in (module._parameters, module._buffers):
            for key, tensor in home.items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    names[tensor] = f"{path}.{key}"
                    found[f"model.{path}.{key}"] = (home, key)
    for parameter, values in optimizer.state.items():
        found |= _tensors(f"optimizer.{names[parameter]}", values)
    for i, group in enumerate(optimizer.param_groups):
        found |= _tensors(f"groups.{i}", group)
    return found


def _tensors(prefix: str, values: Mapping[str, Any]) -> dict[str, Home]:
    return {f"{prefix}.{key}": (values, key) for key, value in values.items() if isinstance(value, Tensor)}


class LiveState:
    """The tensors that training works on, moved into an arena of their own."""

    def __init__(self, homes: Mapping[str, Home], allocate: Allocate = allocate) -> None:
        """Copies the tensors' values into a new arena and points the tensors at it; their identities stay."""
        self._homes = list(homes.values())
        self.tensors: list[Tensor] = [home[key] for home, key in self._homes]
        self.layout = Layout(dict(zip(homes, self.tensors, strict=True)))
        self.arena = Arena(self.layout, allocate)
        with torch.no_grad():
            for tensor, view in zip(self.tensors, self.arena.views, strict=True):
                view.copy_(tensor)
                tensor.data = view

    def exchange_calls(self, arena: Arena) -> list[Call]:
        """The calls that make `arena`'s content the live state; afterwards `arena` holds what was live.

        Made again they take it back. Who makes them sets `moved` of both arenas. No captured CUDA graph may hold the
        addresses.
        """
        if SWAPS_STORAGES:
            pairs = zip(self.arena.storages, arena.storages, strict=True)
            return [(mine._swap_data_ptr_, theirs) for mine, theirs in pairs]  # type: ignore[attr-defined]
        return [(self._exchange_by_tensor, arena)]

    def _exchange_by_tensor(self, arena: Arena) -> None:
        self.arena.trade(arena)
        for tensor, view in zip(self.tensors, self.arena.views, strict=True):
            tensor.data = view

    def strays(self) -> list[str]:
        """The names of tensors that were replaced or moved, so that the arena is not what training works on."""
        bases = [block.data_ptr() for block in self.arena.blocks]
        found = zip(self.layout.places, self._homes, self.tensors, strict=True)
        return [
            place.name
            for place, (home, key), tensor in found
            if home.get(key) is not tensor or tensor.data_ptr() != bases[place.block] + place.offset
        ]
