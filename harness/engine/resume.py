"""What a run takes over from one that did not come to its end: whole iterations, their events, the hash so far.

An iteration is taken over only when everything of it was kept: the samples lie in the mapped file, which a kill leaves
as it was, but an event counts only once it is in the journal. Where the last events of the worker did not get there,
the iterations that they may belong to are measured again.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.engine.loop import DURATION
from harness.errors import RefusedError
from harness.journal.lines import read_journal
from harness.measure import outcome
from harness.measure.samples import HEADER_BYTES, MAGIC, Flag, SampleFile, Word, read_records

CAPTURED = "environment.captured"  # the event that says where a run measures, before it does
CARRIED = "carried_from"  # the attribute of an event that was taken over from another run
FAILED = "iteration.failed"
_FIXED = ("time", "seq", "trace_id", "level", "event")
_HOST, _SOFTWARE = ("hostname", "fingerprint", "device"), ("python", "libraries", "commit")
_LOST = "its details were lost, or were not told: only the first failures of a run are"
Event = Mapping[str, Any]


@dataclass(frozen=True)
class Past:
    """The part of an earlier run that a new one goes on from."""

    run_id: str
    folders: Sequence[Path]  # the run's and those that it went on from itself, newest first
    iterations: int = 0
    outcome: bytes | None = None
    events: Sequence[Event] = ()
    errors: Sequence[Mapping[str, Any]] = ()
    captured: Event | None = None
    accepts_changes: bool = False
    changes: Sequence[str] = ()  # of the software, in a few words each

    def checked(self, now: Event) -> "Past":
        """The same with what of the software is not as it was, for the result of a run that accepts it.

        Raises:
            RefusedError: another machine, or other software that nobody has accepted: the two parts of the run would
                measure two things.
        """
        if self.captured is None:
            return self
        if changed := _changed(self.captured, now, _HOST):
            raise RefusedError(
                f"{self.run_id} was measured on another machine: {'; '.join(changed)}",
                f"Resume it there, or measure it anew here: python -m harness rerun {self.run_id}",
            )
        changed = _changed(self.captured, now, _SOFTWARE)
        if changed and not self.accepts_changes:
            raise RefusedError(
                f"the software is not that of {self.run_id}: {'; '.join(changed)}",
                "With --accept-changes it goes on, and the result says so; "
                f"`python -m harness rerun {self.run_id}` measures everything anew",
            )
        return replace(self, changes=changed)

    def anew(self) -> "Past":
        """The same without its iterations; a pipeline still finds the steps that had finished."""
        return replace(self, iterations=0, outcome=None, events=(), errors=())

    def told(self) -> dict[str, Any]:
        """What the result says of the run that it went on from."""
        return {"from": self.run_id, "kept_iterations": self.iterations, "changes": list(self.changes)}

    def completed(self, outcome: Mapping[str, Any]) -> dict[str, Any]:
        """What the worker said at its end, with the errors of the kept iterations among its own, in their order."""
        own = list(outcome.get("errors", ()))
        warming = [error for error in own if error["phase"] == "warmup"]
        return {**outcome, "errors": [*warming, *self.errors, *own[len(warming) :]]}

    def take_over(self, samples: SampleFile, emit: Callable[..., None]) -> None:
        """Makes what was measured a part of the new run.

        It is acknowledged last: until then a kill leaves a run without iterations, and the earlier one has them all.
        """
        emit("run.resumed", resumed_from=self.run_id, kept_iterations=self.iterations, changes=list(self.changes))
        self._carry_samples(samples)
        for event in self.events:  # so that the result and rules on events count them
            attributes = {key: value for key, value in event.items() if key not in _FIXED}
            carried = {"first_told": event["time"], CARRIED: self.run_id, **attributes}
            emit(event["event"], event["level"], **carried)
        if self.outcome is not None:
            at = int(Word.OUTCOME)
            samples.words[at] = self.iterations
            samples.words[at + 1 : at + 5] = memoryview(array("q", self.outcome))
        samples.words[int(Word.KEPT)] = self.iterations

    def _carry_samples(self, samples: SampleFile) -> None:
        for record in read_records(self.folders[0] / "samples.bin") if self.iterations else ():
            if not record.flag & Flag.WARMUP and record.iteration < self.iterations:
                tag = samples.id_of(record.metric) | record.flag << 16 | record.iteration << 32
                samples.add(tag, record.time_ns, record.value)


def facts_of(captured: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for all parts of one run, out of a captured environment."""
    return {
        **{key: captured[key] for key in (*_HOST, "libraries")},
        "python": captured["python"]["version"],
        "commit": captured["git"].get("commit"),
    }


def read_past(run_id: str, folders: Sequence[Path], *, accepts_changes: bool = False) -> Past:
    """What can be taken over from the run in the first of `folders`.

    Raises:
        StoreLost: its samples cannot be read.
    """
    events = _events(folders[0])
    captured = next((event for event in events if event["event"] == CAPTURED), None)
    past = Past(run_id, tuple(folders), captured=captured, accepts_changes=accepts_changes)
    path = folders[0] / "samples.bin"
    if captured is None or not _is_begun(path):
        return past
    samples = SampleFile(path)
    try:
        return _with_iterations(past, samples, events)
    finally:
        samples.close()


def choices_of(folder: Path) -> dict[str, Any]:
    """The options that a run was composed of, as it said when it started; empty where it did not come that far."""
    started = next((event for event in _events(folder) if event["event"] == "run.started"), {})
    return dict(started.get("choices") or {})


def _events(folder: Path) -> list[dict[str, Any]]:
    path = folder / "events.jsonl"
    return read_journal(path)[0] if path.exists() else []


def _is_begun(path: Path) -> bool:
    """Whether the file was made to its end; its first word is written last."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError:
        return False
    return len(header) == HEADER_BYTES and struct.unpack_from("<q", header)[0] == MAGIC


def _with_iterations(past: Past, samples: SampleFile, events: Sequence[Event]) -> Past:
    measured: set[int] = set()
    failed: set[int] = set()
    for record in read_records(samples.path):
        if not record.flag & Flag.WARMUP and record.metric == DURATION:
            measured.add(record.iteration)
        if record.flag & Flag.FAILED:
            failed.add(record.iteration)
    whole = min(_whole(measured, samples), _all_told(events, samples))
    found = outcome.before(samples, whole)
    if found is None and outcome.is_begun(samples):
        whole = 0  # the hash up to there was overwritten by later iterations, and the run's own cannot do without it
    kept = [event for event in events if _is_measured(event) and event["iteration"] < whole]
    errors = _errors({iteration for iteration in failed if iteration < whole}, kept)
    return replace(past, iterations=whole, outcome=found, events=kept, errors=errors)


def _whole(measured: Collection[int], samples: SampleFile) -> int:
    """How many iterations came to an end: those with a duration, less a last one cut short before all was recorded."""
    kept = samples.words[int(Word.KEPT)]
    return min(len(measured), samples.completed) if len(measured) > kept else kept


def _is_told_by_worker(event: Event) -> bool:
    return "iteration" in event and "phase" in event and CARRIED not in event


def _is_measured(event: Event) -> bool:
    return "iteration" in event and event.get("phase") == "measure" and isinstance(event["iteration"], int)


def _all_told(events: Sequence[Event], samples: SampleFile) -> int:
    """The first iteration of which an event may not have reached the journal."""
    told = [event for event in events if _is_told_by_worker(event)]
    if len(told) >= samples.words[int(Word.TOLD)]:
        return sys.maxsize
    kept = samples.words[int(Word.KEPT)]
    first_lost = samples.told_in(len(told))
    if first_lost is not None:
        return max(first_lost, kept)
    return int(told[-1]["iteration"]) if told and _is_measured(told[-1]) else kept


def _errors(failed: Iterable[int], events: Sequence[Event]) -> list[dict[str, Any]]:
    """An entry for each failed iteration, as the loop would have made it."""
    details = {event["iteration"]: event for event in events if event["event"] == FAILED}
    unknown = {"type": "unknown", "message": _LOST, "traceback": ""}
    return [
        {"phase": "measure", "iteration": iteration}
        | {key: details.get(iteration, unknown)[key] for key in ("type", "message", "traceback")}
        for iteration in sorted(failed)
    ]


def _changed(before: Event, now: Event, keys: Iterable[str]) -> list[str]:
    found = []
    for key in keys:
        was, is_now = before.get(key), now.get(key)
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            found += _changed(was, is_now, sorted({*was, *is_now}))
        elif was != is_now:
            found.append(f"{key} was {was}, is {is_now}")
    return found
