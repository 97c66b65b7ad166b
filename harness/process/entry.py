"""The first code of a worker: ties its output and its channel, then calls the function it was started for."""

import importlib
import json
import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from harness.process.channel import Channel


def interpreter(module: str) -> list[str]:
    """The command of a new interpreter that runs `main` of a module of ours.

    The place of this package goes in by code, not by PYTHONPATH: a variable would reach every command that is measured.
    """
    root = str(Path(__file__).resolve().parents[2])
    program = f"import sys; sys.path.insert(0, {root!r}); from {module} import main; main(sys.argv[1:])"
    return [sys.executable, "-c", program]


@dataclass
class Inheritance:
    """What a worker was given at birth beside its channel."""

    zygote: socket.socket | None = None  # asks for processes that serve this worker; None without a zygote
    descriptors: list[int] = field(default_factory=list)


inherited = Inheritance()


def run(request: dict[str, Any], descriptors: Sequence[int], zygote: socket.socket) -> int:
    """Ties the second descriptor to standard output and error, makes a channel of the first, and runs the entry.

    `request["start"]` of "fresh" replaces this process image by a new interpreter first (a fork of an interpreter in
    which torch has bound its OpenMP runtime cannot load another one).
    """
    channel, output, *others = descriptors
    _tie_output(output)
    if request.get("start") == "fresh":
        passed = [channel, zygote.fileno(), *others]
        for descriptor in passed:
            os.set_inheritable(descriptor, True)
        arguments = [*interpreter("harness.process.entry"), json.dumps(request), *map(str, passed)]
        os.execv(sys.executable, arguments)  # noqa: S606 - the same interpreter, no shell
    inherited.zygote, inherited.descriptors = zygote, others
    return _call(request, Channel.from_descriptor(channel))


def _tie_output(output: int) -> None:
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _call(request: dict[str, Any], channel: Channel) -> int:
    sys.path[:0] = [path for path in request.get("path", []) if path not in sys.path]
    module, _, function = request["entry"].partition(":")
    result = getattr(importlib.import_module(module), function)(channel)
    return int(result or 0)


def _portable_channel() -> Channel:
    """Standard input and output as the channel, with what the work prints sent to standard error.

    Where there is no fork, there is no parent-death signal either: the end of file on standard input, seen by a
    thread of the channel, ends this process when the supervisor has gone.
    """
    reader, writer = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    source, sink = os.pipe()

    def forward() -> None:
        while data := os.read(reader, 65536):
            os.write(sink, data)
        os._exit(75)

    threading.Thread(target=forward, daemon=True, name="supervisor-watch").start()
    return Channel(os.fdopen(source, "rb"), os.fdopen(writer, "wb", buffering=0))


def main(arguments: list[str]) -> NoReturn:
    """Runs the entry in this fresh interpreter; the arguments behind the request are descriptors, none if portable."""
    request, descriptors = json.loads(arguments[0]), [int(argument) for argument in arguments[1:]]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    if descriptors:
        channel = Channel.from_descriptor(descriptors[0])
        inherited.zygote, inherited.descriptors = socket.socket(fileno=descriptors[1]), descriptors[2:]
    else:
        channel = _portable_channel()
    for module in request.get("preload", []):
        importlib.import_module(module)
    code = _call(request, channel)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
