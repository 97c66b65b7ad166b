"""`import`: runs from a bundle, from the output folder of another host, or from the files of other tools."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness import paths
from harness.cli.results import tell_recovered
from harness.report.markdown import run_report
from harness.results.history import History
from harness.results.transfer import TOOLS, Outcome, bring


def main(argv: Sequence[str]) -> int:
    """Imports, and says what came of each run; 1 when a run of the same id but other content is here already.

    Raises:
        RefusedError: a source is none that can be imported, or does not hold what it states.
        StorageRefused: the store cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m harness import",
        description="Imports runs, after holding them against their schemas and digests. Nothing of them is executed.",
        epilog="SOURCE is a bundle of `export`, an output folder of another host, or the JSON of "
        f"{', '.join(TOOLS)}; each may be compressed by gzip. Runs that are here already stay as they are.",
    )
    parser.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="a file, or an output folder")
    parser.add_argument("--kind", choices=("bundle", *TOOLS), help="where the content alone should not tell")
    parser.add_argument("--json", action="store_true", help="what came of each run, as JSON")
    options = parser.parse_args(argv)
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
    finally:
        history.close()
    found = [each for source in options.sources for each in bring(source, paths.outputs(), run_report, options.kind)]
    _tell(found, as_json=options.json)
    return int(any(each.what == "differs" for each in found))


def _tell(found: Sequence[Outcome], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"run_id": each.run_id, "what": each.what} for each in found], indent=2))
        return
    for each in found:
        print(f"{each.run_id}: {each.what}")
    counts = Counter(each.what for each in found)
    print(", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing to import")
    if counts["differs"]:
        print("a run that differs is here under the same id; the one that is here was kept", file=sys.stderr)
