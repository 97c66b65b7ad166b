"""Starts the truth server as a child process, gives its address and its log, and ends it."""

import contextlib
import os
import select
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.errors import BenchmarkFailed
from harness.llm.truth.build import compiled
from harness.llm.truth.log import Truth, read_log
from harness.process.children import Child

START_S = 20.0


class TruthServer:
    """A server of known answers, for as long as the `with` block lasts.

    `plan` holds the defaults of its schedule: ttft_us, gap_us, tokens, per_write (chunks in one write), per_chunk
    (tokens in one chunk), role (0 no role chunk, 1 with the head at once, 2 in the write of the first token),
    empty_every, comment_every (tokens), tail_joined (1: the last token and the end in one write), stalls
    ("10:50000,20:30000": 50 ms before token 10, 30 ms before token 20). A request may change each of them by a field
    of its body, with the prefix `truth_`; `truth_key` is a number under which the log has it.
    """

    def __init__(
        self,
        plan: Mapping[str, int | str] | None = None,
        *,
        records: int = 1 << 18,
        realtime: bool = False,
        interpreted: bool = False,
    ) -> None:
        """Starts it and waits until it listens.

        Raises:
            BenchmarkFailed: it does not start; says why.
        """
        program, self.why_interpreted = (None, "asked for") if interpreted else compiled()
        self._folder = Path(tempfile.mkdtemp(prefix="harness-truth-"))
        self.log_path = self._folder / "sent.log"
        start = [str(program)] if program else [sys.executable, "-m", "harness.llm.truth.portable"]
        wishes = [f"{name}={value}" for name, value in (plan or {}).items()]
        self.interpreted = program is None
        self._child: Child | None = None
        try:
            self.port = self._start([*start, str(self.log_path), str(records), *wishes, f"priority={int(realtime)}"])
        except BaseException:
            self.close()
            raise

    def _start(self, command: list[str]) -> int:
        reader, writer = os.pipe()
        errors = (self._folder / "stderr.txt").open("wb")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        try:
            self._child = Child(command, environment=environment, stdout=writer, stderr=errors.fileno())
        except OSError as error:
            os.close(reader)
            raise BenchmarkFailed(f"the truth server did not start: {error}") from error
        finally:
            os.close(writer)
            errors.close()
        with os.fdopen(reader, "rb") as said:
            ready = select.select([said], [], [], START_S)[0]
            line = said.readline() if ready else b""
        if not line.strip().isdigit():
            why = (self._folder / "stderr.txt").read_text(errors="replace")[-500:].strip()
            raise BenchmarkFailed(f"the truth server did not start: {why or 'it said nothing'}")
        self._leave_cpus_to_the_client()
        return int(line)

    def _leave_cpus_to_the_client(self) -> None:
        """Lets it run on any CPU, not only on those that the client is bound to.

        Bound to the same, it would be starved together with the client, and send just when that can read: with eight
        busy processes beside both, the error found was 0.2 ms where the client really added 7.
        """
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.pid, range(os.cpu_count() or 1))

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._child is not None
        return self._child.pid

    def truth(self) -> Truth:
        """What it has logged so far."""
        return read_log(self.log_path)

    def close(self) -> None:
        """Ends it and deletes its log; a second call does nothing."""
        if self._child is not None:
            child, self._child = self._child, None
            child.stop(grace_s=0.5)
            with contextlib.suppress(ChildProcessError):
                child.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "TruthServer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
