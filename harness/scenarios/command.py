"""Times a command from outside, as hyperfine does: wall, CPU, memory of its whole tree, and what it prints."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from harness.errors import BenchmarkFailed, Cancelled, ConfigError, Problem
from harness.measure.peak import Peak, PeakWatch
from harness.measure.printed import Printed, compile_patterns, read_json_lines, read_patterns
from harness.measure.samples import Phase
from harness.process.children import Child, Finished
from harness.process.output import Drain, Output
from harness.ranges import Range
from harness.runner import Context

Line = str | Sequence[str]
_SECRET = re.compile(r"(?i)secret|passw|credential|(api|access|private|signing)_?key|(^|_)token$")
_HINTS = {126: "126 is the shell's word for 'not executable'", 127: "127 is the shell's word for 'command not found'"}
_ATTEND_S = 0.02  # how often a cancel is looked for while no memory is watched
_NOTHING = Output(b"", b"", 0)


@dataclass(frozen=True)
class Ended:
    """One finished command with what it printed and the memory it took."""

    finished: Finished
    stdout: Output
    stderr: Output
    peak: Peak


class Command:
    """Runs a command once an iteration; `command.wall_ms` holds its time alone, without `prepare` and `cleanup`."""

    def __init__(
        self,
        *,
        command: str | list[str],
        prepare: str | list[str] | None,
        cleanup: str | list[str] | None,
        setup_command: str | list[str] | None,
        teardown_command: str | list[str] | None,
        exit_codes: list[int] | None,
        folder: str | None,
        environment: dict[str, str | int | float],
        shell: str,
        shell_runs: Annotated[int, Range(min=0)],
        json_lines: bool,
        patterns: dict[str, str],
        output: Literal["discard", "keep"],
        output_limit_kb: Annotated[int, Range(min=1)],
        memory_interval_ms: Annotated[float, Range(min=1)] | None,
    ) -> None:
        self._command = command
        self._prepare, self._cleanup = prepare, cleanup
        self._setup_command, self._teardown_command = setup_command, teardown_command
        self._exit_codes = None if exit_codes is None else frozenset(exit_codes)
        self._folder = folder
        self._environment = environment
        self._shell = shell
        self._shell_runs = shell_runs
        self._json_lines = json_lines
        self._patterns = patterns
        self._keeps_output = output == "keep"
        self._limit = output_limit_kb * 1024
        self._memory_interval_ms = memory_interval_ms
        self._room = self._limit
        self._shell_ms: list[float] = []
        self._said: set[str] = set()
        self._context: Context | None = None
        self._all_environment: dict[str, str] = {}
        self._compiled: dict[str, re.Pattern[str]] = {}

    def setup(self, context: Context) -> None:
        """Checks what can be checked, runs `setup_command`, and measures the shell's own start-up."""
        self._all_environment = {**os.environ, **_checked(self._environment)}
        self._compiled = compile_patterns(self._patterns, context.catalogue)
        self._context = context
        self._side_step("setup_command", self._setup_command)
        if isinstance(self._command, str):
            self._shell_ms = [self._execute("").finished.wall_ns / 1e6 for _ in range(self._shell_runs)]

    def iterate(self, context: Context) -> Mapping[str, float]:
        """Runs the command once, between `prepare` and `cleanup`."""
        try:
            self._side_step("prepare", self._prepare)
            ended = self._execute(self._command, memory=True)
            self._keep(ended)
            self._check("command", self._command, ended)
            printed = self._read(ended)
        finally:
            self._side_step("cleanup", self._cleanup, always=True)
        for name, value in printed.values:
            context.record(name, value)
        if printed.broken:
            self._say_once("command.broken_json", lines=len(printed.broken), first=printed.broken[0])
        if context.phase == Phase.MEASURE:
            for value in self._shell_ms:
                context.record("command.shell_ms", value)
            self._shell_ms = []  # once is enough: they belong to the run, not to an iteration
        return self._figures(ended)

    def teardown(self) -> None:
        """Runs `teardown_command`, also after a failure or a cancel."""
        if self._context is not None:
            self._side_step("teardown_command", self._teardown_command, always=True)

    def _side_step(self, name: str, line: Line | None, *, always: bool = False) -> None:
        if line is not None:
            ended = self._execute(line, always=always)
            if ended.finished.code != 0:
                raise _failed(name, line, ended, "expected 0")

    def _check(self, name: str, line: Line, ended: Ended) -> None:
        if self._exit_codes is not None and ended.finished.code not in self._exit_codes:
            raise _failed(name, line, ended, f"allowed by scenario.exit_codes: {sorted(self._exit_codes)}")

    def _execute(self, line: Line, *, memory: bool = False, always: bool = False) -> Ended:
        """Runs a command to its end, or to the run's: a cancel ends it, unless `always`."""
        wants_output = self._json_lines or bool(self._compiled) or self._keeps_output
        out = Drain(self._limit) if wants_output else None
        err = Drain(self._limit)
        watches_memory = memory and self._memory_interval_ms is not None
        interval_s = (self._memory_interval_ms or 0) / 1000 if watches_memory else _ATTEND_S
        guard = _CancelGuard(lambda: False if always else self._cancelled())
        watch = PeakWatch(interval_s, guard.attend, memory=watches_memory)
        try:
            child = self._start(line, out, err)
            guard.child = child
            watch.begin(child.pid)
            finished = child.wait()
        finally:
            peak = watch.finish()
            stderr = err.finish()
            stdout = out.finish() if out else _NOTHING
        if guard.stopped:
            raise Cancelled
        return Ended(finished, stdout, stderr, peak)

    def _start(self, line: Line, out: Drain | None, err: Drain) -> Child:
        streams = {"stderr": err.write_end} | ({"stdout": out.write_end} if out else {})
        try:
            return Child(self._arguments(line), folder=self._folder, environment=self._all_environment, **streams)
        except OSError as error:
            raise BenchmarkFailed(
                f"cannot start {_shown(line)}: {error.strerror}: {error.filename}",
                "give a list only for a program and its arguments; a pipeline or a built-in of the shell must be text",
            ) from error

    def _arguments(self, line: Line) -> list[str]:
        return [self._shell, "-c", line] if isinstance(line, str) else [str(each) for each in line]

    def _cancelled(self) -> bool:
        return self._context is not None and self._context.cancelled

    def _read(self, ended: Ended) -> Printed:
        assert self._context is not None
        printed = read_json_lines(ended.stdout.text, self._context.catalogue) if self._json_lines else Printed()
        if self._compiled:
            printed.values += read_patterns(f"{ended.stdout.text}\n{ended.stderr.text}", self._compiled)
        if ended.stdout.dropped:
            self._say_once("command.output_dropped", bytes=ended.stdout.dropped, limit_kb=self._limit // 1024)
        wanted = self._context.config.get("metrics")
        if wanted and not printed.values and (self._json_lines or self._compiled):
            raise BenchmarkFailed(
                f"the command printed none of the metrics declared under `metrics:`: {', '.join(wanted)}",
                _how_to_print(next(iter(wanted)), printed.broken),
            )
        return printed

    def _figures(self, ended: Ended) -> dict[str, float]:
        finished, peak = ended.finished, ended.peak
        figures: dict[str, float] = {
            "command.wall_ms": finished.wall_ns / 1e6,
            "command.exit_code": finished.code,
            "command.leftover_processes": finished.leftovers,
        }
        if finished.user_s is None or finished.system_s is None:
            self._say_once("command.cpu_unavailable", reason="this platform does not tell the CPU time of a child")
        else:
            figures["command.user_ms"] = finished.user_s * 1000
            figures["command.system_ms"] = finished.system_s * 1000
            figures["command.cpu_ms"] = (finished.user_s + finished.system_s) * 1000
        if self._memory_interval_ms is None:
            return figures
        known = [megabytes for megabytes in (peak.mb, finished.largest_mb) if megabytes is not None]
        if known:
            figures["command.peak_rss_mb"] = max(known)
            figures["command.memory_gap_ms"] = peak.largest_gap_ms
        else:
            self._say_once("command.memory_unseen", reason="the command had ended before the first look at its memory")
        return figures

    def _keep(self, ended: Ended) -> None:
        """Appends what was printed to `command_output.txt`, as long as the limit leaves room."""
        if not self._keeps_output or self._context is None:
            return
        phase, iteration = self._context.phase.name.lower(), self._context.iteration
        for stream, output in (("stdout", ended.stdout), ("stderr", ended.stderr)):
            text = self._context.redact(output.text)
            content = f"=== {phase} {iteration} {stream}: {output.total} bytes\n{text}\n".encode()
            with (self._context.folder / "command_output.txt").open("ab") as file:
                file.write(content[: self._room])
            if len(content) > self._room:
                self._say_once("command.output_limit_reached", limit_kb=self._limit // 1024)
            self._room = max(0, self._room - len(content))

    def _say_once(self, event: str, **attributes: object) -> None:
        if event not in self._said and self._context is not None:
            self._said.add(event)
            self._context.event(event, **attributes)


class _CancelGuard:
    """Ends the command from the watching thread once the run is cancelled."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self.child: Child | None = None
        self.stopped = False

    def attend(self) -> None:
        """Called again and again while the command runs."""
        if self.child is not None and not self.stopped and self._cancelled():
            self.stopped = True
            self.child.stop()


def _checked(environment: Mapping[str, str | int | float]) -> dict[str, str]:
    problems = []
    for name, value in environment.items():
        place = f"scenario.environment.{name}"
        if _SECRET.search(name):
            hint = f"set {name} where you start the harness: the command inherits the environment"
            problems.append(Problem(place, "a secret must not stand in the configuration", hint))
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            problems.append(Problem(place, f"must be text or a number, found {value!r}", "put it in quotes"))
    if problems:
        raise ConfigError(problems)
    return {name: str(value) for name, value in environment.items()}


def _how_to_print(metric: str, broken: Sequence[str]) -> str:
    if broken:
        return f"this line of it begins like JSON and is none: {broken[0]}"
    return f'print {{"{metric}": 1.5}} on a line of its own on standard output, or fill scenario.patterns'


def _shown(line: Line) -> str:
    text = line if isinstance(line, str) else " ".join(map(str, line))
    return repr(text if len(text) <= 200 else text[:200] + "...")


def _failed(name: str, line: Line, ended: Ended, rule: str) -> BenchmarkFailed:
    code = ended.finished.code
    how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
    told = ended.stderr.text.strip() or ended.stdout.text.strip()
    end = f"it printed, at the end: {told[-1000:]}" if told else "it printed nothing"
    hint = f"{_HINTS[code]}; " if code in _HINTS else ""
    return BenchmarkFailed(f"{name}: {_shown(line)} {how} ({rule})", hint + end)
