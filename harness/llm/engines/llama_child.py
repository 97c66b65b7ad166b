"""The process that holds a model and serves it: loads it, says where it listens, and waits for its end."""

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from harness.llm.engines.llama_settings import LlamaSettings, load
from harness.process import linux

READY = "ready "


def main(arguments: Sequence[str]) -> NoReturn:
    """Serves until it is ended; the first argument is JSON: the parent's pid, the port, and the settings.

    The line `ready http://…` on standard output is written when the model is loaded: the server listens long before,
    and answers 503 until then.
    """
    request = json.loads(arguments[0])
    linux.die_with_parent(signal.SIGKILL)
    if os.getppid() != request["parent"]:
        sys.exit("the process that asked for this server has ended")
    linux.offer_to_oom_killer()
    try:
        server = load(LlamaSettings(**request["settings"]), request["port"])
    except (RuntimeError, MemoryError, ImportError) as error:
        sys.exit(f"{type(error).__name__}: {error}")  # the library has said more, and the log's end is what is shown
    os.write(1, f"{READY}{server.listening_address}\n".encode())
    while True:
        threading.Event().wait()
