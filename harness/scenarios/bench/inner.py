"""The harness as a command that another scenario measures: in a store of its own, beside the run that measures it."""

import json
import os
import select
import shutil
import sys
from pathlib import Path
from typing import Any

from harness.errors import BenchmarkFailed
from harness.process.children import Child, Finished


class Started:
    """A harness that is running."""

    def __init__(self, child: Child, errors: Path) -> None:
        self.child = child
        self._errors = errors
        self._end = os.pidfd_open(child.pid)

    def ended_within(self, seconds: float) -> bool:
        """Waits for its end, at most this long."""
        return bool(select.select([self._end], [], [], seconds)[0])

    def finish(self, *allowed: int) -> Finished:
        """Waits for its end.

        Raises:
            BenchmarkFailed: the exit code is none of those allowed; its standard error says why.
        """
        try:
            finished = self.child.wait()
        finally:
            os.close(self._end)
        if finished.code not in allowed:
            said = self._errors.read_text(errors="replace")[-2000:]
            raise BenchmarkFailed(f"the inner harness ended with exit code {finished.code}: {said}")
        return finished


class InnerHarness:
    """Runs `python -m harness` with its output in `folder`, without taking the lock that the outer run holds."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._errors = folder / "stderr.txt"

    def start(self, *arguments: str) -> Started:
        """Starts a run, which shares the host with the run that measures it."""
        return self._start([sys.executable, "-m", "harness", *arguments, "lock=shared"])

    def verb(self, *arguments: str) -> Finished:
        """A reading verb, to its end."""
        return self._start([sys.executable, "-m", "harness", *arguments]).finish(0)

    def python(self, code: str) -> Finished:
        """A bare interpreter that runs this code, for comparison."""
        return self._start([sys.executable, "-c", code]).finish(0)

    def _start(self, command: list[str]) -> Started:
        environment = {**os.environ, "HARNESS_OUTPUTS": str(self.folder / "outputs")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the goals are for a machine with a bytecode cache
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        with self._errors.open("wb") as errors:
            return Started(Child(command, environment=environment, stderr=errors.fileno()), self._errors)

    def newest_run(self) -> Path:
        """The folder of the run that was started last."""
        return max((self.folder / "outputs" / "runs").iterdir(), key=lambda path: path.stat().st_ctime_ns)

    def result(self) -> dict[str, Any]:
        """The result document of the run that was started last."""
        found: dict[str, Any] = json.loads((self.newest_run() / "result.json").read_bytes())
        return found

    def remove(self) -> None:
        """Deletes everything that the inner runs wrote."""
        shutil.rmtree(self.folder, ignore_errors=True)
