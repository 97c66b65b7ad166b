"""`note`: what a reader should know of a stored run."""

import argparse
import getpass
from collections.abc import Sequence

from harness.cli.annotations import changed, tell, without_secrets
from harness.results.annotate import noted


def main(argv: Sequence[str]) -> int:
    """Adds a note with its time and author; 0.

    Raises:
        NotFound: no run, or more than one, is meant.
        RefusedError: the note is empty, or the run has not ended.
    """
    parser = argparse.ArgumentParser(
        prog="python -m harness note", description="Adds a note to a stored run. `show` prints the notes."
    )
    parser.add_argument("run", metavar="RUN", help="a run id, its beginning, its last digits, or `last`")
    parser.add_argument("text", nargs="+", help="the note")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    options = parser.parse_args(argv)
    change = noted(without_secrets(" ".join(options.text)), _user())
    return tell(changed([options.run], change), options, lambda found: f"{len(found['notes'])} notes")


def _user() -> str | None:
    """The login's name; a container may run under a user id without one."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None
