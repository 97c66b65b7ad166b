"""The event stream is written first, then told, and no listener can harm it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.engine.events import EventStream
from harness.journal.lines import Journal, read_journal
from harness.results.schema import validate


def stream_in(folder: Path) -> EventStream:
    return EventStream(Journal(folder / "events.jsonl"), "trace", lambda value: value)


def test_events_are_numbered_stamped_and_fit_their_schema(tmp_path: Path) -> None:
    stream = stream_in(tmp_path)
    stream.emit("run.started", run_id="r", iterations=3)
    stream.emit("iteration.failed", "warning", message="broke")
    stream.close()
    events, broken = read_journal(tmp_path / "events.jsonl")
    assert broken == 0
    assert [event["seq"] for event in events] == [0, 1]
    assert [event["level"] for event in events] == ["info", "warning"]
    assert {event["trace_id"] for event in events} == {"trace"}
    assert [validate(event, "event") for event in events] == [[], []]


def test_an_attribute_cannot_take_the_place_of_a_fixed_field(tmp_path: Path) -> None:
    stream = stream_in(tmp_path)
    stream.emit("told", **{"seq": 99, "event": "other", "trace_id": "forged"})
    stream.close()
    (event,) = read_journal(tmp_path / "events.jsonl")[0]
    assert (event["seq"], event["event"], event["trace_id"]) == (0, "told", "trace")


def test_a_listener_that_raises_is_taken_off_and_told(tmp_path: Path) -> None:
    stream = stream_in(tmp_path)
    heard: list[Mapping[str, Any]] = []

    def broken(event: Mapping[str, Any]) -> None:
        raise RuntimeError("reader broke")

    stream.listen(broken)
    stream.listen(heard.append)
    stream.emit("first")
    stream.emit("second")
    stream.close()
    assert [event["event"] for event in heard] == ["engine.listener_failed", "first", "second"]
    assert stream.counts["engine.listener_failed"] == 1


def test_the_event_is_in_the_journal_before_anyone_hears_it(tmp_path: Path) -> None:
    stream = stream_in(tmp_path)
    written: list[int] = []
    stream.listen(lambda event: written.append(len(read_journal(tmp_path / "events.jsonl")[0])))
    stream.emit("first")
    stream.close()
    assert written == [1]


def test_planted_secrets_do_not_reach_the_journal(tmp_path: Path) -> None:
    from harness.config.redact import redact

    stream = EventStream(
        Journal(tmp_path / "events.jsonl"), "trace", lambda value: redact(value, frozenset({"hunter2hunter2"}))
    )
    stream.emit("llm.request", url="http://x/?q=hunter2hunter2", api_key="short")
    stream.close()
    assert "hunter2" not in (tmp_path / "events.jsonl").read_text()
    assert "short" not in (tmp_path / "events.jsonl").read_text()
