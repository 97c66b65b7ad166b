"""A run as another process sees it: from its manifest, its events and the head of its sample file, all kept by itself.

The files may be written to at the same time; nothing is locked, and nothing is written.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.results import manifest as manifests
from harness.results import schema
from harness.results.steps import Step, stamp
from harness.track.progress import TITLES, Progress, Tracker
from harness.track.reporter import PROGRESS

_MOST_TROUBLES = 5
_TROUBLED = ("warning", "error", "critical")


class Look(NamedTuple):
    """What is known of a run at one moment."""

    manifest: dict[str, Any]
    progress: Progress | None
    steps: list[Step]
    sensors: Mapping[str, float]
    rate_per_s: float | None
    troubles: list[dict[str, Any]]
    last_event_at: str | None
    broken_lines: int

    @property
    def ended(self) -> bool:
        """Whether the run has come to an end, whichever."""
        return self.manifest["status"] in manifests.FINAL


class Watched:
    """A run that is looked at again and again; each look reads only what is new."""

    def __init__(self, folder: Path) -> None:
        """Looks at the run in this folder."""
        self.folder = folder
        self._tracker = Tracker()
        self._offset = self._broken = 0
        self._latest: dict[str, Any] = {}
        self._troubles: list[dict[str, Any]] = []
        self._last_at: str | None = None

    def look(self, now: float) -> Look:
        """The run at this time, in seconds since 1970.

        Raises:
            StoreLost: its manifest cannot be read.
        """
        manifest = schema.read(self.folder / "manifest.json", "manifest")
        self._read_events()
        ended = manifest["status"] in manifests.FINAL
        return Look(
            manifest,
            None if ended else self._tracker.at(now, self._counted()),
            self._tracker.log.steps,
            self._latest.get("sensors", {}),
            self._latest.get("rate_per_s"),
            self._troubles[-_MOST_TROUBLES:],
            self._last_at,
            self._broken,
        )

    def _read_events(self) -> None:
        """Takes in what was appended; a line without its end is left for the next look."""
        try:
            with (self.folder / "events.jsonl").open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except OSError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                self._broken += bool(line.strip())

    def _take(self, event: dict[str, Any]) -> None:
        self._last_at = event["time"]
        if event["event"] == PROGRESS:
            self._latest = {**self._latest, **{key: event[key] for key in ("sensors", "rate_per_s") if event.get(key)}}
        if event["level"] in _TROUBLED:
            self._troubles = [*self._troubles[1 - _MOST_TROUBLES :], event]
        self._tracker(event)

    def _counted(self) -> int:
        """How many iterations of the running phase are done, by the head of the sample file."""
        running = self._tracker.log.running
        if running is None or running.kind != "phase":
            return 0
        phase, completed = sample_head(self.folder / "samples.bin")
        return completed if phase == running.name else 0


def sample_head(samples: Path) -> tuple[str | None, int]:
    """The phase in which a sample file's worker is, and how many of its iterations are done; from its first words."""
    from harness.measure.samples import MAGIC, Phase, Word

    count = max(Word) + 1
    try:
        with samples.open("rb") as file:
            words = struct.unpack(f"<{count}q", file.read(8 * count))
    except (OSError, struct.error):
        return None, 0
    if words[Word.MAGIC] != MAGIC:
        return None, 0
    return Phase(words[Word.PHASE]).name.lower(), int(words[Word.COMPLETED])


def status_document(look: Look) -> dict[str, Any]:
    """What `status --json` prints."""
    manifest = look.manifest
    kept = manifest.get("steps") or [step.entry() for step in look.steps]
    return {
        "schema": "harness.status/1",
        **{key: manifest[key] for key in ("run_id", "scenario", "device", "model", "status", "reason", "verdict")},
        **{key: manifest[key] for key in ("host", "created_at", "finished_at", "duration_s", "exit_code")},
        "pid": (manifest["identity"] or {}).get("pid"),
        "progress": None if look.progress is None else look.progress.facts(),
        "rate_per_s": look.rate_per_s,
        "sensors": dict(look.sensors),
        "steps": kept,
        "last_completed_step": last_completed(kept),
        "eta": manifest.get("eta"),
        "last_event_at": look.last_event_at,
        "troubles": look.troubles,
        "broken_lines": look.broken_lines,
    }


def last_completed(steps: list[dict[str, Any]]) -> str | None:
    """The name of the last step that was completed, None where none was."""
    done = [step for step in steps if step["status"] in ("completed", "reused")]
    return TITLES.get(done[-1]["name"], done[-1]["name"]) if done else None


def age_s(manifest: Mapping[str, Any], now: float) -> float:
    """How long ago the run was made, in seconds."""
    return max(0.0, now - stamp({"time": manifest["created_at"]}))
