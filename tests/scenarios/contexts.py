"""A context made by hand, for runners tried without the engine."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.measure.catalogue import load_catalogue
from harness.measure.samples import Phase, SampleFile, Word, read_records
from harness.runner import Context


@dataclass
class Hand:
    """A context in its measuring phase, and everything the runner has told it."""

    context: Context
    events: list[tuple[str, Mapping[str, Any]]]

    def values(self, metric: str) -> list[float]:
        """The measured samples of a metric so far."""
        records = read_records(self.context.samples.path)
        return [record.value for record in records if record.metric == metric and not record.flag & 1]

    def event_names(self) -> list[str]:
        """The names of the events so far."""
        return [name for name, _ in self.events]

    def cancel(self) -> None:
        """Asks for the end of the run, as the supervisor does."""
        self.context.samples.words[int(Word.CANCEL)] = 1


def by_hand(folder: Path, **metrics: Mapping[str, Any]) -> Hand:
    """A context whose catalogue also has these metrics."""
    events: list[tuple[str, Mapping[str, Any]]] = []
    samples = SampleFile(folder / f"{uuid.uuid4().hex}.bin", create=True)
    catalogue = load_catalogue(metrics)
    context = Context(samples, catalogue, lambda name, attributes: events.append((name, attributes)), folder)
    context.phase = Phase.MEASURE
    return Hand(context, events)
