"""The work of a step: a function that is named by `_target_`, or a command."""

import inspect
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from harness.errors import BenchmarkFailed, ConfigError, Problem
from harness.measure.printed import read_json_lines
from harness.process.children import Child
from harness.process.output import Drain
from harness.scenarios.pipeline.step import Step

OUTPUT = "output.txt"
_LIMIT = 256 * 1024  # of what a command prints, from its beginning and from its end
_TOLD = 1000  # characters of its output in the message of a failed command

Work = Callable[[Step], None]


class StepSettings(TypedDict):
    """A step as YAML has it: either `run` or `command`, and what becomes of the rest."""

    run: NotRequired[Mapping[str, Any] | None]
    command: NotRequired[str | Sequence[str] | None]
    when: NotRequired[bool]
    on_failure: NotRequired[Literal["stop", "continue"]]


def work_of(name: str, settings: StepSettings) -> Work:
    """What the step does, ready to be called.

    Raises:
        ConfigError: it has no work, or two, or its function cannot be imported or does not take the parameters.
    """
    node, command = settings.get("run"), settings.get("command")
    place = f"scenario.steps.{name}"
    if (node is None) == (command is None):
        found = "both" if node is not None else "neither"
        raise ConfigError([Problem(place, f"must have one of run and command, found {found}", f"set {place}.run")])
    if command is not None:
        return CommandWork(command)
    assert node is not None
    return FunctionWork(node, f"{place}.run")


class FunctionWork:
    """Calls a function with the parameters of its node; a mapping that it returns holds metrics."""

    def __init__(self, node: Mapping[str, Any], place: str) -> None:
        from harness.config.build import partial_of  # late: it brings Hydra, which a pipeline of commands does without

        self._call = partial_of(node, place)
        self._given = _parameter_for_step(self._call.func)
        if inspect.isclass(self._call.func):
            raise ConfigError([Problem(f"{place}._target_", "must be a function, found a class")])

    def __call__(self, step: Step) -> None:
        """Runs the function.

        Raises:
            BenchmarkFailed: it returned something other than a mapping of declared metrics or nothing.
        """
        found = self._call(**({self._given: step} if self._given else {}))
        if found is None:
            return
        if not isinstance(found, Mapping):
            raise BenchmarkFailed(
                f"the step {step.name!r} returned {type(found).__name__}, not a mapping of metrics or None",
                "return {'name': number, ...} with names declared under `metrics:`; write larger things to step.folder",
            )
        for name, value in found.items():
            step.record(name, float(value))


def _parameter_for_step(function: Callable[..., Any]) -> str | None:
    """The parameter that is annotated with Step."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # an annotation that names what is imported for type checkers only
        hints = {}
    return next((name for name, hint in hints.items() if hint is Step and name != "return"), None)


class CommandWork:
    """Runs a command in the folder where the harness was started.

    It finds its own folder in `HARNESS_STEP_FOLDER`, the folder of all steps in `HARNESS_STEPS_FOLDER`, and its seed in
    `HARNESS_SEED`. Numbers of declared metrics that it prints as JSON lines are recorded; what it prints is kept.
    """

    def __init__(self, command: str | Sequence[str]) -> None:
        self._command = ["/bin/sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]

    def __call__(self, step: Step) -> None:
        """Runs the command to its end, or to that of the run.

        Raises:
            BenchmarkFailed: it cannot be started, or exits with another code than 0.
        """
        drain = Drain(_LIMIT)
        environment = {
            **os.environ,
            "HARNESS_STEP_FOLDER": str(step.folder),
            "HARNESS_STEPS_FOLDER": str(step.folder.parent),
            "HARNESS_SEED": str(step.seed),
        }
        try:
            finished = Child(
                self._command, environment=environment, stdout=drain.write_end, stderr=drain.write_end
            ).wait()
        except OSError as error:
            raise BenchmarkFailed(
                f"the step {step.name!r} cannot start {self._command[0]}: {error.strerror}"
            ) from error
        finally:
            output = drain.finish()
            text = step.context.redact(output.text)
            (step.folder / OUTPUT).write_text(text, encoding="utf-8", errors="replace")
        if finished.code != 0:
            raise BenchmarkFailed(
                f"the step {step.name!r} exited with {finished.code}",
                f"it printed, at the end: {text.strip()[-_TOLD:]}" if text.strip() else "it printed nothing",
            )
        for name, value in read_json_lines(output.text, step.context.catalogue).values:
            step.record(name, value)
