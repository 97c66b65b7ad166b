"""A process that imports once and forks many: workers are ready in milliseconds and never outlive the supervisor.

`main` gets the number of its socket and the modules to import. It reads requests, one JSON object a message with the
worker's descriptors beside it, and answers with the worker's pid and, later, its exit. It is the parent
of every orphan below it, so it can end whatever a worker leaves behind; at the end of file on its socket it kills
everything and goes. Workers die with it through the parent-death signal. It must stay single-threaded: it forks.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from typing import Any

from harness.process import linux
from harness.process.reap import kill_children_except, reap_ready

MESSAGE_BYTES = 1 << 16
_BLAS = "OPENBLAS_NUM_THREADS"
_RUSAGE_FIELDS = ("ru_utime", "ru_stime", "ru_maxrss", "ru_minflt", "ru_majflt", "ru_nvcsw", "ru_nivcsw")


def usage_dict(usage: Any) -> dict[str, float]:
    """The fields of `getrusage(2)` that a result states; seconds, KiB and counts as the kernel gives them."""
    return {name: getattr(usage, name) for name in _RUSAGE_FIELDS}


def _preload(modules: list[str]) -> dict[str, str]:
    """Imports each module once; an import that fails is told with the fork, where it can be reported."""
    failed = {}
    given = os.environ.get(_BLAS)
    os.environ[_BLAS] = "1"  # read at import: threads started there would make the fork unsafe
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception:
            failed[name] = traceback.format_exc(limit=-1)
    if given is None:
        del os.environ[_BLAS]  # it must not reach the commands that workers start
    else:
        os.environ[_BLAS] = given
    gc.collect()
    gc.freeze()  # the pages of what was imported stay shared with every worker
    return failed


class Zygote:
    """The state of the zygote: its socket, and which of its children are workers."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.workers: dict[int, bool] = {}
        self.failed: dict[str, str] = {}
        self._wakeup, self._signalled = socket.socketpair()
        for end in (self._wakeup, self._signalled):
            end.setblocking(False)
        signal.set_wakeup_fd(self._signalled.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def preload(self, modules: list[str]) -> None:
        """Imports what the next worker needs, before it is forked."""
        missing = [name for name in modules if name not in sys.modules]
        self.failed.update(_preload(missing) if missing else {})

    def serve(self) -> None:
        """Serves requests until the supervisor is gone."""
        while True:
            ready, _, _ = select.select([self.control, self._wakeup], [], [])
            if self._wakeup in ready:
                self._wakeup.recv(4096)
                self._report_exits()
            if self.control in ready and not self._serve_one():
                return

    def _serve_one(self) -> bool:
        try:
            content, descriptors, _, _ = socket.recv_fds(self.control, MESSAGE_BYTES, 8)
        except ConnectionError:
            return False
        if not content:
            return False
        request = json.loads(content)
        self.preload(request.get("preload", []))
        pid = os.fork()
        if pid == 0:
            self._become_worker(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.workers[pid] = bool(request.get("owns_orphans", True))
        self._send({"started": pid, "failed_imports": self.failed, "threads": linux.thread_count()})
        return True

    def _report_exits(self) -> None:
        for pid, status, usage in reap_ready():
            owns_orphans = self.workers.pop(pid, None)
            if owns_orphans is None:
                continue  # an orphan that ended by itself
            leftovers = kill_children_except(self.workers) if owns_orphans else set()
            self._send({"exited": pid, "status": status, "usage": usage_dict(usage), "leftovers": sorted(leftovers)})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self.control.send(json.dumps(message).encode())
        except OSError:
            return  # the supervisor is gone; the end of file that follows ends everything

    def _become_worker(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """In the child: cuts every tie to the zygote, then runs the entry; never returns."""
        code = 70
        try:
            zygote = os.getppid()
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self.control, self._wakeup, self._signalled):
                end.close()
            linux.die_with_parent(signal.SIGKILL)
            if os.getppid() != zygote:
                os._exit(code)
            linux.offer_to_oom_killer()
            from harness.process import entry

            code = entry.run(request, descriptors)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def main(arguments: list[str]) -> None:
    """Serves as zygote on the inherited descriptor `arguments[0]`, with the modules after it imported."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # before torch: a Ctrl-C belongs to the supervisor
    linux.adopt_orphans()
    control = socket.socket(fileno=int(arguments[0]))
    zygote = Zygote(control)
    zygote.preload(arguments[1:])
    zygote.serve()
    kill_children_except(())

