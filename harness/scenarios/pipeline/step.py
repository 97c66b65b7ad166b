"""What a pipeline gives to a step: a folder, the folders of the steps before it, a seed, and a way to tell."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from harness.errors import BenchmarkFailed
from harness.runner import Context

_PROGRESS_S = 0.25  # between two events of progress; a loop may tell after every turn


@dataclass
class Step:
    """One step as its function sees it; a parameter annotated with this class is filled by the pipeline.

    What the function leaves in `folder` are its artifacts. They are kept with their sums, and a resumed run takes them
    over instead of making them again.
    """

    given_by_harness: ClassVar[bool] = True  # so that YAML need not name the parameter, see config/signature.py

    name: str
    folder: Path
    seed: int
    earlier: Mapping[str, Path]  # the folders of the steps that have finished
    context: Context = field(repr=False)
    recorded: list[tuple[str, float]] = field(default_factory=list)
    _told: float = 0.0

    def of(self, step: str) -> Path:
        """The folder with the artifacts of an earlier step.

        Raises:
            BenchmarkFailed: no step of this name has finished.
        """
        if step not in self.earlier:
            have = ", ".join(self.earlier) or "none"
            raise BenchmarkFailed(
                f"the step {self.name!r} needs what {step!r} leaves, and that has not finished",
                f"Steps that have: {have}. Put it before {self.name!r}, and do not skip it",
            )
        return self.earlier[step]

    def record(self, metric: str, value: float) -> None:
        """Adds a sample of a declared metric, which a resumed run takes over with the step.

        Raises:
            BenchmarkFailed: the metric is not declared.
        """
        self.context.record(metric, value)
        self.recorded.append((metric, value))

    def event(self, name: str, /, **attributes: object) -> None:
        """Tells that something happened; values must be JSON."""
        self.context.event(name, step=self.name, **attributes)

    def progress(self, done: int, total: int) -> None:
        """Says how far the step is; may be called as often as one likes."""
        now = time.monotonic()
        if now - self._told >= _PROGRESS_S or done == total:
            self._told = now
            self.context.event("step.progress", step=self.name, done=done, total=total)

    @property
    def device(self) -> str:
        """Where the work runs: cpu, cuda."""
        return self.context.device

    @property
    def cancelled(self) -> bool:
        """Whether the run is to end; long steps ask now and then."""
        return self.context.cancelled
