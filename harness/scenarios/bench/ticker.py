"""A run that leaves an event and a sample with every iteration, to see what of them survives."""

import hashlib
from typing import Annotated

from harness.ranges import Range
from harness.runner import Context

TICK = "bench.tick"
SCENARIO = """\
# @package _global_
# Leaves an event and a sample with every iteration.
scenario:
  _target_: harness.scenarios.bench.ticker.Ticker
  hashed_mb: 20
measure: {warmup: 0, iterations: 1000000, timeout_s: 600.0}
metrics: {tick.number: {unit: "1", kind: gauge, better: none}}
"""


class Ticker:
    """One iteration hashes so many megabytes, some ten milliseconds of work, and tells of it."""

    def __init__(self, *, hashed_mb: Annotated[int, Range(min=1)]) -> None:
        self._block = bytes(hashed_mb << 20)
        self._number = 0

    def setup(self, context: Context) -> None:
        """Needs nothing."""

    def iterate(self, context: Context) -> dict[str, float]:
        """Works, tells, and counts."""
        digest = hashlib.sha1(self._block, usedforsecurity=False).hexdigest()
        self._number += 1
        context.event(TICK, number=self._number, digest=digest)
        return {"tick.number": self._number}

    def teardown(self) -> None:
        """Needs nothing."""
