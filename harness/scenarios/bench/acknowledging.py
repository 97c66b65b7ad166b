"""A writer that says on its standard output, record by record, what it was told is kept; and who checks it afterwards.

    python -m harness.scenarios.bench.acknowledging FOLDER

It goes on until it is killed: runs are begun and finished, events, samples and log records written, all by the parts
that a real run writes them with.
"""

import os
import sys
from collections import Counter
from pathlib import Path

from harness.engine.events import EventStream
from harness.errors import StoreLost
from harness.journal.lines import Journal, read_journal
from harness.journal.log import Log
from harness.journal.recovery import recover
from harness.measure.samples import SampleFile, read_records
from harness.results.document import is_sealed, seal
from harness.results.history import History
from harness.results.manifest import FINAL
from harness.results.store import Store
from harness.scenarios.bench.archive import a_result

_RECORDS = 40  # of each kind, a run
_METRIC = "metric.000_ms"
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def write(folder: Path) -> None:
    """Writes without end."""
    store, result = Store(folder / "outputs"), a_result()
    log = Log(folder / "log", segment_bytes=1 << 20)
    logged = 0
    while True:
        run = store.create_run(scenario="stored", device="cpu", trace_id=_TRACE)
        _say(f"run {run.run_id}")
        stream = EventStream(Journal(run.folder / "events.jsonl"), _TRACE)
        samples = SampleFile(run.folder / "samples.bin", create=True, capacity=4 * _RECORDS)
        tag = samples.id_of(_METRIC)
        for number in range(_RECORDS):
            stream.emit("bench.record", number=number)
            _say(f"event {run.run_id}")
            samples.add(tag | number << 32, number, float(number))
            _say(f"sample {run.run_id}")
            log.append(1, logged.to_bytes(8, "little"))
            logged += 1
            _say("log -")
        stream.close()
        samples.close()
        store.finish(seal({**result, "run_id": run.run_id}), report="# a report\n")
        _say(f"finished {run.run_id}")


def _say(line: str) -> None:
    """One line in one write, which a reader has whole or not at all."""
    os.write(1, f"{line}\n".encode())


def counted(said: bytes) -> Counter[tuple[str, str]]:
    """How many records of which kind and run were acknowledged; a line that was cut was not."""
    lines = said[: said.rfind(b"\n") + 1].decode().splitlines()
    return Counter((kind, run_id) for kind, run_id in (line.split() for line in lines))


def lost(folder: Path, acknowledged: Counter[tuple[str, str]]) -> int:
    """How many acknowledged records are not there, after the store was recovered as the next command does it."""
    store = Store(folder / "outputs")
    store.recover()
    store.close()
    history = History(folder / "outputs")
    try:
        return sum(
            _missing(folder, history, kind, run_id, count) for (kind, run_id), count in sorted(acknowledged.items())
        )
    finally:
        history.close()


def _missing(folder: Path, history: History, kind: str, run_id: str, count: int) -> int:
    """How many of these records are missing; more than were acknowledged may be there."""
    place = history.runs / run_id
    match kind:
        case "log":
            kept = [record.payload for record in recover(folder / "log").records]
            expected = [number.to_bytes(8, "little") for number in range(count)]
            return sum(bool(a != b) for a, b in zip(expected, kept, strict=False)) + max(0, count - len(kept))
        case "event":
            events, _ = read_journal(place / "events.jsonl")
            return max(0, count - sum(bool(event.get("event") == "bench.record") for event in events))
        case "sample":
            values = [record.value for record in read_records(place / "samples.bin")]
            return sum(number not in values[: number + 1] for number in range(count))
        case "finished":
            return int(not _is_finished(history, run_id))
        case _:
            return int(not _is_known(history, run_id))


def _is_known(history: History, run_id: str) -> bool:
    rows = history.index.find(run_id=run_id)
    return bool(rows) and rows[0]["status"] in FINAL


def _is_finished(history: History, run_id: str) -> bool:
    try:
        result = history.result(run_id)
        return result is not None and is_sealed(result) and history.manifest(run_id)["status"] == "completed"
    except StoreLost:
        return False


if __name__ == "__main__":
    write(Path(sys.argv[1]))
