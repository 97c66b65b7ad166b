"""Progress for people who watch: one plain line at the start of each step."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

STEPS = {"setup": "set up", "warmup": "warm up", "measure": "measure", "report": "judge and store"}


class StepLines:
    """A listener of the event stream that writes `Step 2/4 – warm up, 3 iterations (elapsed 1s)` lines."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._started = clock()
        self._steps = list(STEPS)

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Takes one event of the stream."""
        match event["event"]:
            case "run.started":
                self._started = self._clock()
                self._steps = [step for step in STEPS if step != "warmup" or event["warmup"]]
                self._say(f"{event['scenario']} on {event['device']}: run {event['run_id']}")
            case "phase.started" if event["phase"] in self._steps:
                self._step(event)
            case "iteration.failed":
                self._say(f"  iteration {event['iteration']} failed: {event['type']}: {event['message']}")
            case "run.cancel_requested":
                self._say("  cancelling: completed iterations are kept")

    def _step(self, event: Mapping[str, Any]) -> None:
        number = self._steps.index(event["phase"]) + 1
        what = STEPS[event["phase"]]
        count = event.get("iterations")
        if count is not None:
            what += f", {count} iteration{'s' if count != 1 else ''}"
        self._say(f"Step {number}/{len(self._steps)} – {what} (elapsed {self._clock() - self._started:.0f}s)")

    def _say(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()
