"""Tells how far a run is while it lasts: to whoever watches, and to the event stream for everyone else."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from harness.track.progress import Progress, Tracker

PROGRESS = "run.progress"
# What an event says of the machine beside the progress; all sensors are in the result at the end.
SENSORS = ("tree.cpu_percent", "tree.rss_mb", "host.pressure_cpu_percent", "gpu.utilization_percent")


class View(Protocol):
    """Whoever is shown the progress."""

    def show(self, progress: Progress, *, edge: bool, due: bool) -> None:
        """Shows a moment of the run: at an `edge` a step has just begun; `due` where it is time for a plain line."""


class Counted(Protocol):
    """What knows how many units of the present phase are done."""

    @property
    def completed(self) -> int:
        """How many."""


class Reporter:
    """A listener that must come after all others, since it adds events of its own; `tick` is called every second."""

    view: View | None = None

    def __init__(
        self,
        tracker: Tracker,
        emit: Callable[..., None],
        counted: Counted,
        sensors: Callable[[], Mapping[str, float]],
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker, self._emit, self._counted, self._sensors = tracker, emit, counted, sensors
        self._every_s, self._clock = every_s, clock
        self._last: tuple[float, str, int] | None = None  # when an event was last sent, for which step, at which unit

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Takes one event; the beginning of a step is told at once."""
        if self._tracker(event) and self._tracker.log.ended is None:
            self._tell(edge=True)

    def tick(self) -> None:
        """Shows the present moment, and sends an event where the last one is long ago."""
        self._tell(edge=False)

    def _tell(self, *, edge: bool) -> None:
        now = self._clock()
        running = self._tracker.log.running
        counts = running is not None and running.kind == "phase" and running.units is not None
        found = self._tracker.at(now, self._counted.completed if counts and not edge else 0)
        if found is None:
            return
        due = edge or self._last is None or now - self._last[0] >= self._every_s
        if self.view is not None:
            self.view.show(found, edge=edge, due=due)
        if due:
            self._send(found, now)

    def _send(self, found: Progress, now: float) -> None:
        facts = found.facts()
        if self._last is not None and self._last[1] == found.name and now > self._last[0]:
            facts["rate_per_s"] = round((found.done - self._last[2]) / (now - self._last[0]), 3)
        self._last = (now, found.name, found.done)
        values = {} if found.name == "report" else self._sensors()  # then the measured processes have gone
        facts["sensors"] = {name: round(values[name], 1) for name in SENSORS if name in values}
        self._emit(PROGRESS, "debug", **facts)
