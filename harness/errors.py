"""Every error that the harness raises on purpose, with the exit code it leads to.

    HarnessError
    ├── RefusedError            2   refused before anything was measured
    │   ├── ConfigError         2   one or more problems in YAML or overrides, all of them listed
    │   ├── DeviceUnavailable   2   the device asked for is not on this machine
    │   ├── HostBusy            2   another measurement holds the host lock
    │   └── StorageRefused      2   the output folder cannot be written
    ├── BenchmarkFailed         3   the measured work did not run to its end
    │   ├── WorkerLost          3   the worker or its zygote went away
    │   └── DeadlineExceeded    3   a call was late and was ended
    ├── StoreLost               3   results were measured and could not be kept
    └── NotFound                2   a run, scenario or verb that does not exist

`Cancelled` stands apart: it is no error, and like KeyboardInterrupt it passes through `except Exception`.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing wrong in the input: where it stands, which rule it breaks, and what to do about it."""

    place: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f"; {self.hint}" if self.hint else "")


class HarnessError(Exception):
    """The root: a message for the person, a hint with the next step, and the exit code."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message + (f"\n  {self.hint}" if self.hint else "")


class RefusedError(HarnessError):
    """Refused before anything was measured."""

    exit_code = 2


class ConfigError(RefusedError):
    """All problems of one configuration, found in one pass."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(f"{head} in the configuration:\n" + "\n".join(f"  {problem}" for problem in self.problems))


class DeviceUnavailable(RefusedError):
    """The device asked for is not on this machine."""


class HostBusy(RefusedError):
    """Another measurement holds the host lock."""


class StorageRefused(RefusedError):
    """The output folder cannot be written, or has no room."""


class NotFound(RefusedError):
    """A run, scenario or verb that does not exist."""


class BenchmarkFailed(HarnessError):
    """The measured work did not run to its end."""


class WorkerLost(BenchmarkFailed):
    """The worker or its zygote went away without a word."""


class DeadlineExceeded(BenchmarkFailed):
    """A call was late and was ended; a TimeoutError that the called function raises itself is another thing."""

    def __init__(self, name: str, deadline_s: float) -> None:
        super().__init__(f"{name} was not done within its deadline of {deadline_s:g} s")
        self.name = name
        self.deadline_s = deadline_s

    def __reduce__(self) -> tuple[type["DeadlineExceeded"], tuple[str, float]]:
        return type(self), (self.name, self.deadline_s)


class StoreLost(HarnessError):
    """Results were measured and could not be kept."""


class Cancelled(BaseException):
    """The run was cancelled; raised inside the worker so that teardown still runs."""
