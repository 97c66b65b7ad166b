"""What the measured process says of the run itself, kept for the result document: instrument errors and facts."""

from collections.abc import Mapping
from typing import Any

from harness.measure.instrument import InstrumentError


class Told:
    """A listener of the event stream that keeps what belongs into the result."""

    def __init__(self) -> None:
        self.instrument: dict[str, InstrumentError] = {}
        self.facts: dict[str, Mapping[str, Any]] = {}

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Takes note of one event; of several instrument errors of one metric the largest holds."""
        if event["event"] == "metric.instrument_error":
            found = InstrumentError(event["plus_minus"], event["basis"])
            known = self.instrument.get(event["metric"])
            if known is None or found.plus_minus > known.plus_minus:
                self.instrument[event["metric"]] = found
        elif event["event"] == "environment.described":
            self.facts[event["part"]] = event["facts"]
