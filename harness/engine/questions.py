"""Questions that only a worker can answer, since answering imports a user's code."""

import json
import select
import time
from collections.abc import Mapping, Sequence
from typing import Any

from harness.engine.signals import CancelRequest
from harness.errors import BenchmarkFailed, Cancelled
from harness.process.channel import Lines
from harness.process.launcher import Launcher, Worker

ENTRY = "harness.engine.worker:main"


def ask(
    launcher: Launcher,
    cancel: CancelRequest,
    request: Mapping[str, Any],
    path: Sequence[str],
    preload: Sequence[str],
    timeout_s: float,
) -> Mapping[str, Any]:
    """The answer of a worker of its own, which ends afterwards.

    Raises:
        BenchmarkFailed: the worker ended, or did not answer in time.
        Cancelled: a cancel was asked for first.
    """
    worker = launcher.spawn(ENTRY, preload=preload, path=path, wake=cancel.fileno(), timeout_s=timeout_s)
    try:
        answer = _await_answer(worker, cancel, request, timeout_s)
    finally:
        worker.kill()
        worker.close()
    if cancel.asked:
        raise Cancelled
    if answer is None:
        raise BenchmarkFailed(
            f"the code under {', '.join(request['targets'])} could not be imported: the process ended or hung",
            "import it in a Python of your own to see why",
        )
    return dict(answer["schemas"])


def _await_answer(
    worker: Worker, cancel: CancelRequest, request: Mapping[str, Any], timeout_s: float
) -> dict[str, Any] | None:
    worker.send(request)
    lines = Lines()
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        control, output = worker.control.fileno(), worker.output.fileno()
        ready, _, _ = select.select([control, output, cancel.fileno()], [], [], left)
        if cancel.fileno() in ready:
            return None
        if output in ready and not worker.output.recv(65536):
            return None  # what an import prints is not kept; its end is the worker's end
        if control in ready:
            data = worker.control.recv(65536)
            found = lines.feed(data)
            if found or not data:
                return json.loads(found[0]) if found else None
    return None
