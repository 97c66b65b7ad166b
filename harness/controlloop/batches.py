"""Batches in a seeded order whose position can be saved and taken back."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from harness.controlloop.arena import Call
from harness.controlloop.data import Dataset
from harness.errors import ConfigError, Problem

_PASS_STRIDE = 1_000_003  # a prime, so that the seeds of neighbouring trainings do not meet in neighbouring passes


class Position(NamedTuple):
    """Where the reading stands; `order` is never written to, so a position is three references whatever the data."""

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
            ConfigError: a batch is larger than the rows to train on.
        """
        self.dataset, self.size, self.seed = dataset, size, seed
        self._rows = dataset.rows - dataset.held_out
        if size > self._rows:
            message = f"should be at most the {self._rows} rows to train on, found {size}"
            raise ConfigError([Problem("scenario.trainer.batch_size", message, "lower it, or make the data larger")])
        self._generator = torch.Generator()
        self.position = Position(0, 0, self.order_of(0))

    def order_of(self, passes: int) -> Tensor:
        """The order of the rows in a pass."""
        self._generator.manual_seed(self.seed * _PASS_STRIDE + passes)
        return torch.randperm(self._rows, generator=self._generator)

    def take(self) -> tuple[Tensor, Tensor]:
        """The next batch; an incomplete one at the end of a pass is left out."""
        passes, cursor, order = self.position
        end = cursor + self.size
        if end > self._rows:
            passes, cursor, end, order = passes + 1, 0, self.size, self.order_of(passes + 1)
        self.position = Position(passes, end, order)
        return self.dataset.gather(order[cursor:end])

    def state(self) -> Position:
        """The position before the next batch."""
        return self.position

    def calls(self, state: Position) -> Iterable[Call]:
        """Goes back to a position; the next batch is the one that followed it."""
        return [(vars(self).update, {"position": state})]
