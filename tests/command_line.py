"""Runs `python -m harness` as a person would, with its output in a folder of the test."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
TRIAL = "HARNESS_TEST_TRIAL"


@dataclass
class CommandLine:
    """One user on one machine: every command shares the output folder."""

    outputs: Path
    config_dir: Path | None = None
    lock: str = "lock=shared"
    environment: dict[str, str] = field(default_factory=dict)
    trial: str = field(default_factory=lambda: uuid.uuid4().hex)

    def start(self, *arguments: str, cwd: Path = ROOT) -> subprocess.Popen[str]:
        """Starts a command without waiting."""
        given = {**os.environ, "HARNESS_OUTPUTS": str(self.outputs), TRIAL: self.trial, **self.environment}
        given["PYTHONPATH"] = str(ROOT)
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            cwd=cwd,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def verb(self, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        process = self.start(*arguments, cwd=cwd)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self, *overrides: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Measures something, beside whatever else these tests measure."""
        return self.verb(*self.words(*overrides), cwd=cwd)

    def words(self, *overrides: str) -> list[str]:
        """The arguments of a run."""
        own = ["--config-dir", str(self.config_dir)] if self.config_dir else []
        return [*own, *overrides, self.lock]

    def folders(self) -> list[Path]:
        """The folders of all runs, oldest first."""
        runs = self.outputs / "runs"
        return sorted(runs.iterdir(), key=lambda path: path.stat().st_ctime_ns) if runs.exists() else []

    def result(self) -> dict[str, Any]:
        """The result document of the newest run."""
        found: dict[str, Any] = json.loads((self.folders()[-1] / "result.json").read_bytes())
        return found

    def survivors(self) -> Iterator[psutil.Process]:
        """The processes that these commands have started and that still live."""
        mark = f"{TRIAL}={self.trial}".encode()
        for process in psutil.process_iter():
            try:
                if mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                    yield process
            except OSError:
                continue

    def await_no_survivors(self) -> None:
        """Waits until none is left; a process that does not end is a failure."""
        _, alive = psutil.wait_procs(list(self.survivors()), timeout=30)
        left = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
        assert not left, f"processes have survived: {left}"
        assert not list(self.survivors())
