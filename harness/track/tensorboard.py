"""A run as TensorBoard shows it: one more reader of the samples and events, of which the run itself knows nothing."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import RefusedError, StoreLost
from harness.measure.samples import Flag, read_records
from harness.results.times import epoch

_HIDDEN = Flag.WARMUP | Flag.FAILED
_BOUNDS = {Flag.LOW: "/low", Flag.HIGH: "/high"}


class Mirror:
    """Writes what a run has told so far into an event file of TensorBoard; each `update` adds what is new.

    Every metric is a series of its own samples, numbered from 0; sensors and the durations of steps come from the
    events; the configuration is a text. Times are those of the run.
    """

    def __init__(self, run: Path, target: Path) -> None:
        """Mirrors the run in the folder `run` into the folder `target`.

        Raises:
            RefusedError: the package tensorboard is not installed.
        """
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise RefusedError(f"this needs tensorboard: {error}", "pip install 'harness[tensorboard]'") from error
        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        target.mkdir(parents=True, exist_ok=True)
        for earlier in target.glob("events.out.tfevents.*"):
            earlier.unlink()  # of the same run, which would be shown twice
        self._writer = EventFileWriter(str(target))
        self._run = run
        self._records = 0
        self._offset = 0
        self._started: float | None = None  # when the first record was made, by the clock of the records and by UTC
        self._counts: Counter[str] = Counter()
        self._began_s = epoch(json.loads((run / "manifest.json").read_bytes())["created_at"])
        self._text("config", (run / "config.yaml").read_text(encoding="utf-8"))

    def update(self) -> int:
        """Adds what came since the last call; how many numbers that were.

        Raises:
            StoreLost: the samples cannot be read.
        """
        before = self._counts.total()
        self._read_events()
        self._read_samples()
        self._writer.flush()
        return self._counts.total() - before

    def close(self) -> None:
        """Ends the event file."""
        self._writer.close()

    def _scalar(self, tag: str, value: float, time_s: float) -> None:
        summary = self._summary(value=[self._summary.Value(tag=tag, simple_value=value)])
        self._writer.add_event(self._event(wall_time=time_s, step=self._counts[tag], summary=summary))
        self._counts[tag] += 1

    def _text(self, tag: str, text: str) -> None:
        from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

        metadata = summary_pb2.SummaryMetadata(
            plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"), data_class="DATA_CLASS_TENSOR"
        )
        shown = "    " + text.replace("\n", "\n    ")  # as code, in the Markdown that the page reads
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING,
            string_val=[shown.encode()],
            tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]),
        )
        value = self._summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)
        self._writer.add_event(self._event(wall_time=self._began_s, step=0, summary=self._summary(value=[value])))

    def _read_samples(self) -> None:
        path = self._run / "samples.bin"
        if not path.exists():
            return
        try:
            records = list(read_records(path))
        except StoreLost:  # it is being made, or was never finished; what there is to read comes with the next look
            return
        for record in records[self._records :]:
            if self._started is None:
                self._started = record.time_ns / 1e9 - self._began_s
            tag = record.metric + "".join(name for flag, name in _BOUNDS.items() if record.flag & flag)
            if not record.flag & _HIDDEN:
                self._scalar(tag, record.value, record.time_ns / 1e9 - self._started)
        self._records = len(records)

    def _read_events(self) -> None:
        try:
            with (self._run / "events.jsonl").open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except OSError:
            return
        whole = new[: new.rfind(b"\n") + 1]  # a line without its end is left for the next look
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # torn by a kill; `verify` tells
            self._take(event)

    def _take(self, event: Mapping[str, Any]) -> None:
        time_s = epoch(event["time"])
        match event["event"]:
            case "run.started":
                self._began_s = time_s
            case "run.progress":
                for name, value in (event.get("sensors") or {}).items():
                    self._scalar(f"sensors/{name}", value, time_s)
            case "step.finished":
                self._scalar(f"steps/{event['step']}_s", event["duration_s"], time_s)
