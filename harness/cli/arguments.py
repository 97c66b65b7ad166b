"""The few flags that a run takes beside overrides; everything else is configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ConfigError, Problem


@dataclass
class Arguments:
    """A run's command line, taken apart."""

    overrides: list[str] = field(default_factory=list)
    config_dirs: list[Path] = field(default_factory=list)
    multirun: bool = False
    help: bool = False


def parse(words: Sequence[str]) -> Arguments:
    """Takes the words apart.

    Raises:
        ConfigError: a flag that a run does not have, or a bare word where an override is meant.
    """
    found, problems = Arguments(), []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if word in ("-m", "--multirun"):
            found.multirun = True
        elif word in ("-h", "--help"):
            found.help = True
        elif word == "--config-dir" and pending:
            found.config_dirs.append(Path(pending.pop(0)))
        elif word.startswith("--config-dir="):
            found.config_dirs.append(Path(word.partition("=")[2]))
        elif word.startswith("-"):
            problems.append(Problem(f"argument {word}", "a run has no such flag", "flags are -m and --config-dir DIR"))
        else:
            found.overrides.append(word)
    if problems:
        raise ConfigError(problems)
    return found
