"""Batches in a seeded order whose position can be saved and taken back."""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.controlloop.data import Dataset
from harness.errors import BenchmarkFailed

_PASS_STRIDE = 1_000_003  # a prime, so that the seeds of neighbouring trainings do not meet in neighbouring passes


@dataclass(frozen=True, slots=True)
class Position:
    """Where the reading stands. `order` is never written to, so a position is three references, whatever the data's size."""

    passes: int
    cursor: int
    order: Tensor


class Batches:
    """Endless batches without replacement; each pass over the rows has a fresh order from its own generator.

    The order is a function of seed and pass alone, so two integers are enough to find it again in another process.
    """

    def __init__(self, dataset: Dataset, *, size: int, seed: int) -> None:
        """Starts at the first row of the first pass.

        Raises:
            BenchmarkFailed: a batch is larger than the rows to train on.
        """
        self.dataset, self.size, self.seed = dataset, size, seed
        self._rows = dataset.rows - dataset.held_out
        if size > self._rows:
            raise BenchmarkFailed(
                f"trainer.batch_size should be at most the {self._rows} rows to train on. Found {size}.",
                "lower scenario.trainer.batch_size, or make the data larger",
            )
        self._generator = torch.Generator()
        self._passes, self._cursor, self._order = 0, 0, self._order_of(0)

    def _order_of(self, passes: int) -> Tensor:
        self._generator.manual_seed(self.seed * _PASS_STRIDE + passes)
        return torch.randperm(self._rows, generator=self._generator)

    def take(self) -> tuple[Tensor, Tensor]:
        """The next batch; an incomplete one at the end of a pass is left out."""
        end = self._cursor + self.size
        if end > self._rows:
            self._passes += 1
            self._cursor, end, self._order = 0, self.size, self._order_of(self._passes)
        index = self._order[self._cursor : end]
        self._cursor = end
        return self.dataset.gather(index)

    def state(self) -> Position:
        """The position before the next batch."""
        return Position(self._passes, self._cursor, self._order)

    def restore(self, position: Position) -> None:
        """Goes back to `position`; the next batch is the one that followed it."""
        self._passes, self._cursor, self._order = position.passes, position.cursor, position.order
