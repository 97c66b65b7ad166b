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
from dataclasses import dataclass
from typing import Any

from harness.process import linux
from harness.process.client import MESSAGE_BYTES
from harness.process.reap import kill_children_except, kill_group, reap_ready

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


@dataclass
class Connection:
    """A socket that asks for workers: the supervisor's, or that of a worker whose pid is `owner`."""

    socket: socket.socket
    owner: int | None = None


class Zygote:
    """The state of the zygote: who may ask for workers, and which of its children are workers, by who asked."""

    def __init__(self, control: socket.socket) -> None:
        self.supervisor = Connection(control)
        self.connections = [self.supervisor]
        self.workers: dict[int, Connection] = {}
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
            ready, _, _ = select.select([self._wakeup, *(each.socket for each in self.connections)], [], [])
            if self._wakeup in ready:
                self._wakeup.recv(4096)
                self._report_exits()
            for connection in [each for each in self.connections if each.socket in ready]:
                if not self._serve_one(connection):
                    if connection is self.supervisor:
                        return
                    self._drop(connection)

    def _serve_one(self, connection: Connection) -> bool:
        try:
            content, descriptors, _, _ = socket.recv_fds(connection.socket, MESSAGE_BYTES, 8)
        except OSError:
            return False
        if not content:
            return False
        request = json.loads(content)
        self.preload(request.get("preload", []))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become_worker(request, descriptors, theirs)
        theirs.close()
        for descriptor in descriptors:
            os.close(descriptor)
        self.workers[pid] = connection
        if request.get("connected"):
            self.connections.append(Connection(ours, pid))
        else:
            ours.close()
        self._send(connection, {"started": pid, "failed_imports": self.failed, "threads": linux.thread_count()})
        return True

    def _report_exits(self) -> None:
        for pid, status, usage in reap_ready():
            connection = self.workers.pop(pid, None)
            if connection is None:
                continue  # an orphan that ended by itself
            for own in [each for each in self.connections if each.owner == pid]:
                self._drop(own)
            # What a worker of the supervisor leaves behind is ended. An orphan of a process that serves a worker may
            # be that worker's own, so it is left until the worker ends.
            leftovers = kill_children_except(self.workers) if connection is self.supervisor else set()
            message = {"exited": pid, "status": status, "usage": usage_dict(usage), "leftovers": sorted(leftovers)}
            self._send(connection, message)

    def _drop(self, connection: Connection) -> None:
        """Ends the processes that a connection asked for; nobody is left who could want them."""
        self.connections.remove(connection)
        connection.socket.close()
        for pid in [pid for pid, asked_by in self.workers.items() if asked_by is connection]:
            del self.workers[pid]
            kill_group(pid)
            os.waitpid(pid, 0)

    def _send(self, connection: Connection, message: dict[str, Any]) -> None:
        try:
            connection.socket.send(json.dumps(message).encode())
        except OSError:
            return  # the one who asked is gone; the end of file that follows ends what it asked for

    def _become_worker(self, request: dict[str, Any], descriptors: list[int], own: socket.socket) -> None:
        """In the child: cuts every tie to the zygote, then runs the entry; never returns."""
        code = 70
        try:
            zygote = os.getppid()
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self._wakeup, self._signalled, *(each.socket for each in self.connections)):
                end.close()
            linux.die_with_parent(signal.SIGKILL)
            if os.getppid() != zygote:
                os._exit(code)
            linux.offer_to_oom_killer()
            from harness.process import entry

            code = entry.run(request, descriptors, own)
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
