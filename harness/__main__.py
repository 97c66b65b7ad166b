"""`python -m harness`: the first bare word is a verb; without one, the arguments are overrides of a run."""

import sys


def main() -> int:
    """Runs one command and gives its exit code; what went wrong is a message, not a traceback."""
    from harness.cli.verbs import dispatch

    return dispatch(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
