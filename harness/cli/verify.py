"""`verify`: whether what is stored still is what was stored: runs, suites and comparisons."""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from harness import paths
from harness.cli.results import tell_recovered
from harness.results import records
from harness.results.history import History
from harness.results.records import RECORDS, RUN, Kind, Named


class _Checked(NamedTuple):
    named: Named
    problems: list[str]
    notes: list[str]


def main(argv: Sequence[str]) -> int:
    """Checks schemas and digests of what is named; 0 when all hold, 1 when one does not.

    Raises:
        NotFound: nothing, or more than one, is meant by a name.
    """
    parser = argparse.ArgumentParser(
        prog="python -m harness verify",
        description="Checks the schemas and digests of stored runs, suites and comparisons. Exit 1 on a mismatch.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="ID",
        help="of a run, suite or comparison, or its beginning; or `last` (the default)",
    )
    parser.add_argument("--all", action="store_true", help="all that is stored")
    parser.add_argument("--json", action="store_true", help="the problems of each as JSON")
    options = parser.parse_args(argv)
    if options.all and options.names:
        parser.error("name what to check, or use --all, not both")
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        wanted = _every(history) if options.all else [records.find(history, text) for text in options.names or ["last"]]
    finally:
        history.close()
    found = []
    for one in _checked(history, dict.fromkeys(wanted)):
        found.append(one)
        if not options.json:
            _tell(one)
    broken = sum(bool(one.problems) for one in found)
    if options.json:
        print(json.dumps(_document(found, broken), indent=2))
    else:
        print(_counted(found))
    return int(broken > 0)


def _every(history: History) -> list[Named]:
    runs = [Named(RUN, row["run_id"]) for row in reversed(history.index.find())]
    return runs + [Named(kind, each) for kind in RECORDS for each in records.ids(history.outputs, kind)]


def _checked(history: History, wanted: Iterable[Named]) -> Iterator[_Checked]:
    from harness.journal.lines import read_journal
    from harness.results.verify import problems_of, record_notes, record_problems

    for named in wanted:
        if named.kind is RUN:
            yield _Checked(named, problems_of(history.runs / named.id, read_journal), [])
        else:
            problems = record_problems(history.outputs, named)
            yield _Checked(named, problems, [] if problems else record_notes(history.outputs, named))


def _tell(one: _Checked) -> None:
    print(f"{one.named.kind.said} {one.named.id}: {'does not hold' if one.problems else 'holds'}")
    for line in [*one.problems, *(f"note: {note}" for note in one.notes)]:
        print(f"  {line}")


def _counted(found: Sequence[_Checked]) -> str:
    """How many of each kind hold; runs are told of in any case when nothing else was checked."""
    parts = []
    for kind in (RUN, *RECORDS):
        every = [one for one in found if one.named.kind is kind]
        if every or (kind is RUN and not found):
            parts.append(f"{sum(not one.problems for one in every)} of {len(every)} {kind.said}s")
    return f"{', '.join(parts)} hold"


def _document(found: Sequence[_Checked], broken: int) -> dict[str, object]:
    """The problems by kind and id, and what is worth a note though it holds."""

    def problems(kind: Kind) -> dict[str, list[str]]:
        return {one.named.id: one.problems for one in found if one.named.kind is kind}

    kinds = {f"{kind.said}s": problems(kind) for kind in (RUN, *RECORDS)}
    notes = {one.named.id: one.notes for one in found if one.notes}
    return {"schema": "harness.verify/1", **kinds, "notes": notes, "broken": broken}
