"""Work whose amount is counted, so that a slowdown planted in it is exactly so much more work and no guess."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, Literal

from harness.ranges import Range
from harness.runner import Context

Kind = Literal["mlp", "hash"]
_BLOCK = bytes(range(256)) * 32


class CountedWork:
    """Does `units` equal pieces of work an iteration: 105 of them are 5 % more than 100.

    `mlp` is a small network forward, which computes and moves memory; `hash` is SHA-256, which only computes.
    """

    def __init__(self, *, units: Annotated[int, Range(min=1)], kind: Kind) -> None:
        self._units = units
        self._make = {"mlp": _mlp, "hash": _hash}[kind]
        self._unit: Callable[[], Any] = _hash()

    def setup(self, context: Context) -> None:
        """Builds the network anew, in memory of its own."""
        self.prepare()

    def prepare(self) -> None:
        """The same, for those who have no run."""
        self._unit = self._make()

    def iterate(self, context: Context) -> None:
        """Does the work once."""
        self.work()

    def work(self) -> None:
        """The same, for those who time it themselves."""
        unit = self._unit
        for _ in range(self._units):
            unit()

    def teardown(self) -> None:
        """Nothing is held."""


def _hash() -> Callable[[], object]:
    return lambda: hashlib.sha256(_BLOCK).digest()


def _mlp() -> Callable[[], object]:
    import torch

    layers = [torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64)]
    model: Any = torch.nn.Sequential(*layers)
    rows = torch.randn(32, 64)

    def forward() -> object:
        with torch.inference_mode():
            return model(rows)

    return forward
