"""`selftest noise`: a scenario compared with itself, so that one knows what this host can show."""

from collections.abc import Sequence

from harness.cli import ab
from harness.errors import ConfigError, Problem

_ABOUT = """\
Measures a scenario against itself by fresh pairs of processes: how much two processes of the same code differ, the
smallest slowdown that a comparison would find here, and how often it would raise a false alarm."""


def main(argv: Sequence[str]) -> int:
    """Runs the self-test that is named and gives the exit code.

    Raises:
        ConfigError: the self-test or a configuration is wrong.
        HarnessError: nothing was measured, the work failed, or the report could not be kept.
    """
    parser = ab.parser("python -m harness selftest", _ABOUT)
    parser.usage = "python -m harness selftest noise [scenario=NAME] [key=value …] [--pairs N]"
    options = parser.parse_intermixed_args(list(argv))
    name, *overrides = options.words or [""]
    if name != "noise":
        raise ConfigError([Problem("arguments", f"there is no self-test {name!r}", "write: selftest noise")])
    words = ab.take_apart(overrides)
    if words.said["A"] or words.said["B"]:
        raise ConfigError([Problem("arguments", "a self-test has no A and B", "use `ab` to compare two things")])
    if not any(text.startswith("scenario=") for text in overrides):
        words.common.insert(0, "scenario=function")
    return ab.compare(words, options, "noise", ["harness", "selftest", *argv])
