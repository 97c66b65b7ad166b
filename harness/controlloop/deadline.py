"""How long a step may take: a multiple of what a step takes here, so that one file fits fast and slow machines."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from harness.errors import BenchmarkFailed
from harness.ranges import Range


@dataclass(frozen=True, kw_only=True)
class StepDeadline:
    """The rule; `calibrate` turns it into milliseconds."""

    times_median: Annotated[float, Range(min=1)]
    at_least_ms: Annotated[float, Range(min=0)]

    def calibrate(self, latencies_ms: Sequence[float]) -> float:
        """The deadline for steps that took `latencies_ms` undisturbed.

        Raises:
            BenchmarkFailed: there was no step to calibrate with.
        """
        if not latencies_ms:
            raise BenchmarkFailed("a step deadline needs at least one undisturbed step to be calibrated with")
        return max(self.at_least_ms, self.times_median * statistics.median(latencies_ms))
