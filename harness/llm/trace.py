"""A recorded load, replayed: each line of a file says when something was asked, how long it was, or what it said."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from harness.errors import BenchmarkFailed
from harness.llm.ask import Ask, read_lines
from harness.llm.schedule import Open
from harness.ranges import Range


@dataclass(frozen=True, kw_only=True)
class Trace:
    """An open loop from a JSONL file of `{at_s, prompt_tokens or prompt or messages, max_tokens, tag}`.

    `speed` 2.0 replays it in half the time.
    """

    path: str
    speed: Annotated[float, Range(above=0)]

    def asks(self) -> list[Ask]:
        """The lines in the order of their times.

        Raises:
            BenchmarkFailed: the file cannot be read, or a line of it; names the line.
        """
        return sorted(read_lines(Path(self.path), timed=True), key=_when)

    def schedule(self, requests: int, seed: int) -> Open:
        """The times of the first lines, counted from the first of them.

        Raises:
            BenchmarkFailed: the trace holds fewer lines.
        """
        lines = self.asks()
        if requests > len(lines):
            raise BenchmarkFailed(
                f"the trace {self.path} holds {len(lines)} requests, and {requests} were asked for",
                "set scenario.requests=null to replay all of it",
            )
        first = _when(lines[0])
        return Open(tuple(round((_when(ask) - first) / self.speed * 1e9) for ask in lines[:requests]))


def _when(ask: Ask) -> float:
    return ask.at_s or 0.0
