"""Work that waits at a counted place until a gate is open, so that a test can kill it there and nowhere else."""

import time
from collections.abc import Mapping
from pathlib import Path

from harness.runner import Context
from harness.scenarios.pipeline.step import Step

GATE, LOG, BROKEN = "gate", "log", "broken"


def note(folder: str, line: str) -> None:
    """Says that something was really done."""
    with (Path(folder) / LOG).open("a") as file:
        file.write(f"{line}\n")


def wait_at_gate(folder: str, context: Context) -> None:
    """Hangs, unless the gate is open."""
    if not (Path(folder) / GATE).exists():
        context.event("workload.waiting")
        while True:
            time.sleep(3600)  # the hang in which it is killed


class Gated:
    """Iterations that note themselves; the one numbered `at` of the job of size `wait_in` waits."""

    def __init__(self, *, folder: str, size: int, wait_in: int, at: int, every: int, rounds: int) -> None:
        self._folder, self._size, self._wait_in, self._at = folder, size, wait_in, at
        self._every, self._rounds = every, rounds

    def setup(self, context: Context) -> None:
        context.describe("work", size=self._size)

    def iterate(self, context: Context) -> Mapping[str, float]:
        for _ in range(self._rounds):
            sum(range(100))
        if context.phase.name == "MEASURE":
            if (self._size, context.iteration) == (self._wait_in, self._at):
                wait_at_gate(self._folder, context)
            note(self._folder, f"{self._size}.{context.iteration}")
            context.fingerprint(f"{self._size} {context.iteration}".encode())
            if context.iteration % self._every == 0:
                context.event("work.done", number=context.iteration)
        if context.iteration == 1:
            raise RuntimeError("number 1 never works")
        return {"work.result": float(context.iteration)}

    def teardown(self) -> None:
        pass


def make(step: Step, *, folder: str) -> dict[str, float]:
    note(folder, step.name)
    (step.folder / "made.txt").write_text(str(step.seed))
    step.record("work.result", 1.0)
    return {"work.result": 2.0}


def gather(step: Step, *, folder: str, of: list[str]) -> None:
    wait_at_gate(folder, step.context)
    if (Path(folder) / BROKEN).exists():
        raise RuntimeError("this step is broken")
    note(folder, step.name)
    (step.folder / "all.txt").write_text(" ".join((step.of(name) / "made.txt").read_text() for name in of))
