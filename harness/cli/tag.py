"""`tag`: words to find stored runs by."""

import argparse
from collections.abc import Sequence

from harness.cli.annotations import changed, tell, without_secrets
from harness.results.annotate import tagged


def main(argv: Sequence[str]) -> int:
    """Adds and removes tags; 0.

    Raises:
        NotFound: no run, or more than one, is meant by a name.
        RefusedError: a tag is no single word, or a run has not ended.
    """
    parser = argparse.ArgumentParser(prog="python -m harness tag", description="Adds tags to stored runs.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run id, its beginning, its last digits, or `last`")
    parser.add_argument("--add", action="append", default=[], metavar="TAG", help="repeatable")
    parser.add_argument("--remove", action="append", default=[], metavar="TAG", help="repeatable")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    options = parser.parse_args(argv)
    if not options.add and not options.remove:
        parser.error("say which tag with --add or --remove")
    change = tagged([without_secrets(tag) for tag in options.add], options.remove)
    return tell(changed(options.runs, change), options, lambda found: f"tags: {' '.join(found['tags']) or 'none'}")
