"""Work that tells of itself: events of several levels, a fact that no result may hold, and where it was placed."""

import json
import os
import sys
from pathlib import Path

from harness.runner import Context

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Telling:
    """Tells everything in setup, and raises in the iteration that it is told to."""

    def __init__(self, *, fails_at: int, plus_minus: float | None) -> None:
        self._fails_at, self._plus_minus = fails_at, plus_minus

    def setup(self, context: Context) -> None:
        context.event("work.plain")
        context.event("work.urgent", level="critical")
        context.event("work.odd", level="shouted")
        context.event("work.check_failed")
        context.describe("work", parts=3)
        if self._plus_minus is not None:
            planted = {"metric": "iteration.duration_ms", "plus_minus": self._plus_minus, "basis": "planted"}
            context.event("metric.instrument_error", **planted)

    def iterate(self, context: Context) -> None:
        if self._fails_at in (-2, context.iteration):
            raise ValueError("as it was told")

    def teardown(self) -> None:
        pass


def placement(path: str) -> None:
    """Writes down where this process runs, with which priority, and how many threads numerical libraries take."""
    was_loaded = "torch" in sys.modules
    import torch

    seen = {
        "cpus": sorted(os.sched_getaffinity(0)),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "variables": {name: os.environ.get(name) for name in VARIABLES},
        "torch_threads": torch.get_num_threads(),
        "torch_was_loaded": was_loaded,
    }
    Path(path).write_text(json.dumps(seen))
