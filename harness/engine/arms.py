"""The asking side of a comparison: several processes that live at once, of which only one works at any moment."""

import contextlib
import json
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engine.arm import ENTRY
from harness.engine.signals import CancelRequest
from harness.errors import BenchmarkFailed, Cancelled, RefusedError
from harness.process.channel import Lines
from harness.process.launcher import Launcher, Start, Worker

END_S = 10.0  # for a runner to tear down
CANCEL_S = 0.4  # the same after a cancel, which must be over within a second


@dataclass
class Arm:
    """One process with its runner set up."""

    name: str
    worker: Worker
    code: str | None = None
    calls: int = 0
    is_late: bool = False
    _lines: Lines = field(default_factory=Lines)
    _answers: deque[dict[str, Any]] = field(default_factory=deque)


@dataclass(frozen=True)
class ArmRequest:
    """What an arm is to be."""

    name: str
    message: Mapping[str, Any]
    start: Start
    preload: tuple[str, ...]
    path: tuple[str, ...]
    timeout_s: float


class Arms:
    """Starts arms, asks them one at a time, and ends them; what they print goes to `write_output` with their name."""

    def __init__(self, launcher: Launcher, cancel: CancelRequest, write_output: Callable[[str, bytes], None]) -> None:
        self._launcher = launcher
        self._cancel = cancel
        self._write_output = write_output
        self._arms: list[Arm] = []

    def start(self, request: ArmRequest) -> Arm:
        """A new arm, ready for its first turn.

        Raises:
            RefusedError: the runner cannot be built with this configuration.
            BenchmarkFailed: its set-up failed, or took too long.
            Cancelled: a cancel was asked for.
        """
        worker = self._launcher.spawn(
            ENTRY,
            preload=request.preload,
            start=request.start,
            path=request.path,
            wake=self._cancel.fileno(),
            timeout_s=request.timeout_s,
        )
        arm = Arm(request.name, worker)
        self._arms.append(arm)
        answer = self._ask(arm, request.message, request.timeout_s)
        arm.code = answer.get("code")
        return arm

    def turn(self, arm: Arm, discard: int, calls: int, timeout_s: float) -> list[float]:
        """The values of one turn.

        Raises:
            BenchmarkFailed: a call failed or was too late, or the process ended.
            Cancelled: a cancel was asked for.
        """
        answer = self._ask(arm, {"do": "turn", "discard": discard, "calls": calls}, timeout_s)
        arm.calls += calls
        values: list[float] = answer["values"]
        return values

    def end(self) -> None:
        """Ends all arms: each tears its runner down; one that does not is killed."""
        cancelled = self._cancel.asked
        for arm in self._arms:
            if cancelled or arm.is_late:
                arm.worker.terminate()  # the signal interrupts a call; the request would wait for its end
                continue
            with contextlib.suppress(BenchmarkFailed, Cancelled, RefusedError):
                self._ask(arm, {"do": "end"}, END_S)
        started = time.monotonic()
        for arm in self._arms:
            self._await_exit(arm, started + (CANCEL_S if cancelled or arm.is_late else END_S))
            arm.worker.kill()
            self._await_exit(arm, time.monotonic() + END_S)
            arm.worker.close()
        self._arms.clear()

    def _ask(self, arm: Arm, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        arm.worker.send(message)
        until = time.monotonic() + timeout_s
        while not arm._answers:
            self._wait(arm, until, timeout_s)
        answer = arm._answers.popleft()
        if answer["kind"] == "refused":
            raise RefusedError(f"{arm.name}: {answer['message']}", answer.get("hint") or "")
        if answer["kind"] == "failed":
            raise BenchmarkFailed(f"{arm.name}: {answer['message']}", answer.get("traceback", ""))
        return answer

    def _wait(self, arm: Arm, until: float, timeout_s: float) -> None:
        left_s = until - time.monotonic()
        if left_s <= 0:
            arm.is_late = True
            raise BenchmarkFailed(
                f"{arm.name} gave no answer within {timeout_s:g} s", "a larger measure.timeout_s gives it more time"
            )
        outputs = {each.worker.output: each for each in self._arms if each.worker.output.fileno() >= 0}
        watched: list[socket.socket | CancelRequest] = [arm.worker.control, self._cancel, *outputs]
        ready, _, _ = select.select(watched, [], [], left_s)
        if self._cancel in ready:
            raise Cancelled
        for end, each in outputs.items():
            if end in ready:
                self._read_output(each, end)
        if arm.worker.control in ready:
            self._read(arm)

    def _read_output(self, arm: Arm, end: socket.socket) -> None:
        try:
            data = end.recv(65536)
        except OSError:
            data = b""
        if data:
            self._write_output(arm.name, data)
        else:
            end.close()  # its process has ended; the channel says so too

    def _read(self, arm: Arm) -> None:
        try:
            data = arm.worker.control.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._await_exit(arm, time.monotonic() + END_S)
            raise BenchmarkFailed(f"{arm.name}: the process ended without a word: {arm.worker.exit}")
        for line in arm._lines.feed(data):
            message = json.loads(line)
            if message["kind"] != "event":
                arm._answers.append(message)

    def _await_exit(self, arm: Arm, until: float) -> None:
        while arm.worker.exit is None and (left_s := until - time.monotonic()) > 0:
            if self._launcher.fileno() < 0:
                return  # no zygote tells of it; the launcher waits for the process when it closes
            if select.select([self._launcher], [], [], left_s)[0] and not self._launcher.collect():
                return


def write_to(folder: Path, redact: Callable[[Any], Any]) -> Callable[[str, bytes], None]:
    """A sink that keeps what each arm prints in a bounded log of its own, made when there is something to keep."""
    from harness.engine.output import OutputLog

    logs: dict[str, OutputLog] = {}

    def write(name: str, data: bytes) -> None:
        if name not in logs:
            logs[name] = OutputLog(folder / f"{name}.log", redact)
        logs[name].write(data)

    return write
