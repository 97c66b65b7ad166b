"""Progress for people: on a terminal one line that is kept up to date, elsewhere plain lines now and then."""

import shutil
from collections.abc import Mapping
from typing import Any, TextIO

from harness.track.progress import TITLES, Progress

_CLEAR = "\r\x1b[K"


class StepLines:
    """A listener and view that writes `Step 2/5 – warm up, 3 iterations (ETA 11m, elapsed 2m)`.

    On a terminal the line is written anew at every moment that is shown, and stays as it last was when the next step
    begins. Elsewhere a line is written when a step begins and then whenever one is due.
    """

    def __init__(self, out: TextIO, *, terminal: bool | None = None) -> None:
        self._out = out
        self._terminal = out.isatty() if terminal is None else terminal
        self._open = False  # whether the cursor stands behind a line that may be written anew

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Takes one event of the stream."""
        match event["event"]:
            case "run.started":
                self._say(f"{event['scenario']} on {event['device']}: run {event['run_id']}")
            case "iteration.failed":
                self._say(f"  iteration {event['iteration']} failed: {event['type']}: {event['message']}")
            case "run.cancel_requested":
                self._say("  cancelling: completed iterations are kept")
            case "run.finished":
                self.close()

    def close(self) -> None:
        """Lets the last line stand, so that others may write."""
        self._leave()

    def show(self, progress: Progress, *, edge: bool, due: bool) -> None:
        """Shows a moment of the run: at an `edge` a step has just begun; `due` where it is time for a plain line."""
        text = line(progress)
        if self._terminal:
            if edge:
                self._leave()
            width = shutil.get_terminal_size().columns
            self._out.write(_CLEAR + (text if len(text) < width else text[: width - 1]))
            self._out.flush()
            self._open = True
        elif due:
            self._say(text)

    def _say(self, text: str) -> None:
        self._leave()
        self._out.write(text + "\n")
        self._out.flush()

    def _leave(self) -> None:
        """Lets the line stand as it is."""
        if self._open:
            self._out.write("\n")
            self._open = False


def line(progress: Progress) -> str:
    """`Step 2/5 – Collect expert trajectories (ETA 11m [9m, 14m], elapsed 2m)`; what is no step has no number."""
    what = TITLES.get(progress.name, progress.name)
    if progress.units is not None:
        many = "iteration" if progress.units == 1 else "iterations"
        what += f", {progress.done} of {progress.units} {many}" if progress.done else f", {progress.units} {many}"
    place = f"Step {progress.number}/{progress.total} – {what}" if progress.number else what.capitalize()
    return f"{place} ({eta(progress)}, elapsed {span(progress.elapsed_s)})"


def eta(progress: Progress) -> str:
    """`ETA 11m [9m, 14m]`, or why there is none, with what this step's own progress says."""
    found = progress.eta
    if found is not None:
        low, high = span(found.low_s), span(found.high_s)
        return f"ETA {span(found.seconds)}" + (f" [{low}, {high}]" if low != high else "")
    own = "" if progress.step_eta_s is None else f"; this step {span(progress.step_eta_s)}"
    return f"ETA unknown ({progress.why_not}){own}"


def span(seconds: float) -> str:
    """A time in the two largest units that matter: `45s`, `2m 5s`, `11m`, `1h 5m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m {rest}s" if minutes < 10 and rest else f"{minutes}m"
    hours, rest = divmod(minutes, 60)
    return f"{hours}h {rest}m" if rest else f"{hours}h"
