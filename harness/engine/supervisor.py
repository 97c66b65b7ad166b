"""Watches one worker to its end: reads what it says, samples it from outside, keeps every deadline, never trusts it."""

import contextlib
import json
import os
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from harness.engine.events import EventStream
from harness.engine.signals import CancelRequest
from harness.measure.samples import SampleFile
from harness.process import memory
from harness.process.channel import Lines
from harness.process.launcher import Exit, Launcher, Worker

Ending = Literal["completed", "failed", "cancelled", "refused"]

TERM_S, KILL_S = 0.1, 0.5  # after a cancel: the flag at once, then SIGTERM, SIGKILL; the whole stays under 1 s
LEVELS = ("debug", "info", "warning", "error", "critical")
LINGER_S = 1.0  # between a worker's last word and its exit
MEMORY_POLL_S = 0.05
SYNC_S = 0.5  # what a power cut may take is this and the sync itself; at 1 s it was more than a second now and then
TICK_S = 1.0  # between two looks at the progress


class Sampler(Protocol):
    """Telemetry of the worker's process tree, taken from outside."""

    def sample(self) -> object:
        """Takes one sample; never raises."""


@dataclass
class WorkerReport:
    """How the worker's part of a run ended."""

    ending: Ending = "completed"
    reason: str | None = None
    message: str = ""
    outcome: dict[str, Any] = field(default_factory=dict)
    exit: Exit | None = None


@dataclass
class Timer:
    """Something that is due at a time of the monotonic clock."""

    due: float
    action: Callable[[], None]
    period: float | None = None


class Supervisor:
    """One worker, from its first message to its last child."""

    def __init__(
        self,
        worker: Worker,
        launcher: Launcher,
        cancel: CancelRequest,
        stream: EventStream,
        write_output: Callable[[bytes], None],
    ) -> None:
        self._worker = worker
        self._launcher = launcher
        self._cancel = cancel
        self._stream = stream
        self._write_output = write_output
        self._report = WorkerReport()
        self._lines = Lines()
        self._timers: list[Timer] = []
        self._selector = selectors.DefaultSelector()
        self._watch(worker.control, self._read_control)
        self._watch(worker.output, self._read_output)
        self._watch(cancel, self._on_cancel)
        if launcher.fileno() >= 0:
            self._watch(launcher, self._read_launcher)
        self._samples: SampleFile | None = None
        self._sampler: Sampler | None = None
        self._cancelling = False
        self._control_open = True

    def _watch(self, source: Any, callback: Callable[[], None]) -> None:
        if isinstance(source, socket.socket):
            source.setblocking(False)
        self._selector.register(source, selectors.EVENT_READ, callback)

    def run(
        self,
        request: Mapping[str, Any],
        samples: SampleFile,
        *,
        timeout_s: float,
        memory_limit_mb: float | None = None,
        sampler: Sampler | None = None,
        interval_s: float = 1.0,
        tick: Callable[[], None] | None = None,
    ) -> WorkerReport:
        """Sends the run request and watches until the worker and everything below it has ended; `tick` every second.

        Raises:
            StoreLost: an event could not be written; the worker is killed first.
        """
        self._samples, self._sampler = samples, sampler
        now = time.monotonic()
        self._timers = [Timer(now + timeout_s, lambda: self._end("timeout", _late(timeout_s)))]
        self._timers.append(Timer(now + SYNC_S, self._sync, SYNC_S))
        if sampler is not None:
            self._timers.append(Timer(now, lambda: void(sampler.sample()), interval_s))
        if tick is not None:
            self._timers.append(Timer(now + TICK_S, tick, TICK_S))
        if memory_limit_mb is not None:
            self._timers.append(Timer(now, lambda: self._check_memory(memory_limit_mb), MEMORY_POLL_S))
        if self._cancel.asked:
            self._on_cancel()
        self._worker.send(request)
        try:
            while self._worker.exit is None:
                self._turn(3600.0)
        except BaseException:
            self._worker.kill()
            raise
        self._drain()
        return self._conclude()

    def _sync(self) -> None:
        """Brings events and samples to the disk; the samples' pages belong to a file that the worker has mapped."""
        self._stream.sync()
        if self._samples is not None:
            with contextlib.suppress(OSError), self._samples.path.open("rb") as file:
                getattr(os, "fdatasync", os.fsync)(file.fileno())

    def _turn(self, longest_s: float) -> None:
        """Waits for the next thing to happen or the next timer, and serves it."""
        now = time.monotonic()
        due = min((timer.due for timer in self._timers), default=now + longest_s)
        for key, _ in self._selector.select(max(0.0, min(due - now, longest_s))):
            key.data()
        now = time.monotonic()
        for timer in [timer for timer in self._timers if timer.due <= now]:
            if timer.period is None:
                self._timers.remove(timer)
            else:
                timer.due = max(timer.due + timer.period, now)
            timer.action()

    def _read_launcher(self) -> None:
        if not self._launcher.collect():
            self._selector.unregister(self._launcher)
            self._report.reason = self._report.reason or "lost"
            self._report.message = self._report.message or "the zygote was killed, and the worker with it"

    def _read_output(self) -> None:
        try:
            data = self._worker.output.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._write_output(data)
        else:
            self._selector.unregister(self._worker.output)

    def _read_control(self) -> None:
        try:
            data = self._worker.control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(self._worker.control)
            self._control_open = False
            self._timers.append(Timer(time.monotonic() + LINGER_S, self._worker.kill))
        for line in self._lines.feed(data):
            try:
                message = json.loads(line)
            except ValueError:
                self._stream.emit("engine.torn_message", "warning", text=line[:200].decode(errors="replace"))
                continue
            self._serve(message)

    def _serve(self, message: dict[str, Any]) -> None:
        match message.pop("kind"):
            case "event":
                attributes = message["attributes"]
                level = attributes.pop("level", "warning" if message["name"].endswith("failed") else "debug")
                self._stream.emit(message["name"], level if level in LEVELS else "debug", **attributes)
            case "phase":
                self._stream.emit("phase.started", "debug", **message)
            case "outcome":
                self._report.outcome = message
                if self._sampler is not None:
                    self._sampler.sample()  # the worker lives until it has said its last word
                self._timers.append(Timer(time.monotonic() + LINGER_S, self._worker.kill))

    def _on_cancel(self) -> None:
        self._cancel.drain()
        if self._cancel.times > 1:
            self._worker.kill()
        if self._cancelling:
            return
        self._cancelling = True
        self._stream.emit("run.cancel_requested", "warning")
        if self._samples is not None:
            self._samples.cancel()
        now = time.monotonic()
        self._timers.append(Timer(now + TERM_S, self._worker.terminate))
        self._timers.append(Timer(now + KILL_S, self._worker.kill))

    def _end(self, reason: str, message: str) -> None:
        """Ends the worker for a reason of ours; the first reason stands."""
        if self._report.reason is None and not self._report.outcome:
            self._report.reason, self._report.message = reason, message
        self._stream.emit("worker.ended_by_supervisor", "warning", reason=reason, message=message)
        if self._samples is not None:
            self._samples.cancel()
        self._worker.terminate()
        self._timers.append(Timer(time.monotonic() + KILL_S, self._worker.kill))

    def _check_memory(self, limit_mb: float) -> None:
        used_mb = memory.tree_resident_mb(self._worker.pid)
        if used_mb > limit_mb and self._report.reason is None:
            self._end("out_of_memory", f"resident {used_mb:.0f} MB, over limits.memory_mb={limit_mb:g}")
            self._worker.kill()

    def _drain(self) -> None:
        """Reads what the ended worker had still said and printed."""
        with contextlib.suppress(KeyError, ValueError):
            while self._control_open and self._selector.get_key(self._worker.control):
                before = self._worker.control
                try:
                    data = before.recv(65536, socket.MSG_PEEK)
                except OSError:
                    break
                self._read_control()
                if not data:
                    break
        while True:
            try:
                data = self._worker.output.recv(65536)
            except OSError:
                break
            if not data:
                break
            self._write_output(data)
        self._selector.close()

    def _conclude(self) -> WorkerReport:
        report, outcome = self._report, self._report.outcome
        report.exit = self._worker.exit
        if report.reason is not None:
            report.ending = "failed"
        elif outcome:
            report.ending = outcome["status"]
            report.reason = outcome.get("reason")
            error = outcome.get("error") or {}
            report.message = outcome.get("message") or f"{error.get('type', '')}: {error.get('message', '')}".strip(
                ": "
            )
        elif self._cancelling:
            report.ending = "cancelled"
        else:
            report.ending, report.reason = "failed", _reason_of(report.exit)
            report.message = f"the worker ended without a word: {report.exit}"
        if self._cancelling and report.ending == "failed" and report.reason in ("lost", "error"):
            report.ending, report.reason = "cancelled", None
        return report


def void(_: object) -> None:
    """Drops a value where an action is wanted."""


def _late(timeout_s: float) -> str:
    return f"not done within measure.timeout_s={timeout_s:g}"


def _reason_of(ended: Exit | None) -> str:
    """A worker killed by SIGKILL that was not ours is out of memory if the kernel says that it killed for memory."""
    if ended is not None and ended.signal == 9 and memory.oom_kills() > memory.oom_kills_at_start():
        return "out_of_memory"
    return "lost"
