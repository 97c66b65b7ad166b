"""Arenas in memory that several processes map: a state written by one of them outlives it."""

import mmap
import os
from collections.abc import Callable

import torch
from torch import Tensor

from harness.controlloop.arena import Arena, Layout
from harness.errors import BenchmarkFailed

_PAGE = 2 << 20  # slots start at a huge page's border


class SharedArenas:
    """`count` arenas of one layout in one memory file; slot numbers are the same in every process that maps it."""

    def __init__(self, layout: Layout, count: int, descriptor: int | None = None) -> None:
        """Makes the memory file, or maps the one behind `descriptor`, and touches every page.

        Raises:
            BenchmarkFailed: the state is not all on the CPU: other memory cannot be shared this way.
        """
        if [device.type for device in layout.devices] != ["cpu"]:
            raise BenchmarkFailed(
                f"a step process shares memory of the CPU only, and this state is on {layout.devices}",
                "use scenario.step_process=false on this device",
            )
        self.count = count
        self._stride = -(-layout.bytes // _PAGE) * _PAGE
        self.descriptor = os.memfd_create("harness-state") if descriptor is None else descriptor
        if descriptor is None:
            os.ftruncate(self.descriptor, self._stride * count)
        # Mapped and populated in one go: the first touch of memory costs far more than what is done with it.
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        self._memory = mmap.mmap(self.descriptor, self._stride * count, flags=flags)
        self._slots = {slot: Arena(layout, self._allocate(slot)) for slot in range(count)}

    def _allocate(self, slot: int) -> Callable[[int, torch.device], Tensor]:
        def from_slot(size: int, device: torch.device) -> Tensor:
            return torch.frombuffer(self._memory, dtype=torch.uint8, count=size, offset=slot * self._stride)

        return from_slot

    def __getitem__(self, slot: int) -> Arena:
        return self._slots[slot]

    def slot_of(self, arena: Arena) -> int:
        """The slot whose memory an arena has at present."""
        return next(slot for slot, held in self._slots.items() if held is arena)

    def swapped(self, slot: int, arena: Arena) -> None:
        """Notes that `arena` has the memory of `slot` from now on."""
        self._slots[slot] = arena

    def close(self) -> None:
        """Gives the memory file back; mappings end with the tensors that use them."""
        os.close(self.descriptor)
