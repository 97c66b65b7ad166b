"""A worker without fork, zygote or descriptor passing: a new interpreter, with pipes, for systems without them.

What such a worker leaves behind in sessions of its own is not found, and its resources are not stated.
"""

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

from harness.process import reap
from harness.process.client import Exit, Request, Worker
from harness.process.entry import interpreter


@dataclass
class PortableWorker:
    """The worker with everything that stands between it and our sockets."""

    worker: Worker
    process: subprocess.Popen[bytes]
    pipes: list[threading.Thread]
    sockets: tuple[socket.socket, socket.socket]

    def end(self) -> None:
        """Ends the process; its threads end when our sockets are closed too."""
        reap.kill_group(self.process.pid)
        self.process.wait()

    def release(self) -> None:
        """Waits for the threads and closes what they used."""
        for pipe in self.pipes:
            pipe.join()
        for end in (*self.sockets, self.process.stdin, self.process.stdout, self.process.stderr):
            if end is not None:
                end.close()


def start(request: Request) -> PortableWorker:
    """Starts the worker; threads carry bytes between its pipes and the sockets that the supervisor watches."""
    process = subprocess.Popen(
        [*interpreter("harness.process.entry"), json.dumps(vars(request))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    control, their_control = socket.socketpair()
    output, their_output = socket.socketpair()
    worker = Worker(process.pid, control, output)
    standard_in, standard_out, standard_error = (
        cast(BinaryIO, pipe) for pipe in (process.stdin, process.stdout, process.stderr)
    )

    def carry_out() -> None:
        _carry(standard_out.read, their_control.sendall, lambda: None)
        code = process.wait()
        reap.kill_group(process.pid)
        worker.exit = Exit(code if code >= 0 else None, -code if code < 0 else None, {})
        with contextlib.suppress(OSError):
            their_control.shutdown(socket.SHUT_RDWR)  # a close alone would leave the reading thread where it is

    pipes = [
        threading.Thread(target=carry_out, daemon=True),
        threading.Thread(
            target=_carry, args=(standard_error.read, their_output.sendall, their_output.close), daemon=True
        ),
        threading.Thread(target=_carry, args=(their_control.recv, standard_in.write, standard_in.close), daemon=True),
    ]
    for pipe in pipes:
        pipe.start()
    return PortableWorker(worker, process, pipes, (their_control, their_output))


def _carry(read: Callable[[int], bytes | None], write: Callable[[bytes], object], done: Callable[[], object]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while data := read(65536):
            write(data)
    with contextlib.suppress(OSError, ValueError):
        done()
