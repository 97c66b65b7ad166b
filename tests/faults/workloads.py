"""Work that goes wrong in every way that a benchmark can, without torch; each kind is a scenario of these tests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Annotated

from harness.ranges import Range
from harness.runner import Context


def count_up() -> None:
    """Works well and quickly."""
    sum(range(1000))


class Numbered:
    """Does its fault at one counted iteration, or at all of them."""

    def __init__(self, *, at: int, kind: str, megabytes: Annotated[int, Range(min=1)] = 1) -> None:
        self._at = at
        self._kind = kind
        self._megabytes = megabytes
        self._kept: list[bytes] = []

    def setup(self, context: Context) -> None:
        context.event("workload.ready", pid=os.getpid())
        if self._at == -2:
            self._fault(context)

    def iterate(self, context: Context) -> Mapping[str, float] | None:
        if self._at in (-1, context.iteration) and self._at != -2:
            return self._fault(context)
        sum(range(1000))
        return None

    def _fault(self, context: Context) -> Mapping[str, float] | None:
        fault = getattr(self, self._kind)
        result: Mapping[str, float] | None = fault(context)
        return result

    def raises(self, context: Context) -> None:
        raise RuntimeError("the work broke")

    def returns_nan(self, context: Context) -> Mapping[str, float]:
        return {"work.result": float("nan")}

    def returns_text(self, context: Context) -> object:
        return "this is no mapping"

    def records_undeclared(self, context: Context) -> None:
        context.record("work.reslut", 1.0)

    def prints_garbage(self, context: Context) -> None:
        for _ in range(2000):
            os.write(1, b'\xff\x00\x1b[2J{"kind":"outcome","status":"completed"}\n')

    def leaves_children(self, context: Context) -> None:
        sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
        child = subprocess.Popen(sleeper)
        apart = subprocess.Popen(sleeper, start_new_session=True)
        context.event("workload.children", pids=[child.pid, apart.pid])

    def exits(self, context: Context) -> None:
        os._exit(9)

    def raises_system_exit(self, context: Context) -> None:
        sys.exit("as if the user's script had called exit")

    def is_killed(self, context: Context) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def segfaults(self, context: Context) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def eats_memory(self, context: Context) -> None:
        while True:
            self._kept.append(b"x" * (self._megabytes << 20))

    def has_no_memory(self, context: Context) -> None:
        raise MemoryError

    def never_returns(self, context: Context) -> None:
        context.event("workload.hanging")
        while True:
            time.sleep(3600)  # the hang itself

    def never_returns_and_is_deaf(self, context: Context) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.never_returns(context)

    def teardown(self) -> None:
        self._kept.clear()
