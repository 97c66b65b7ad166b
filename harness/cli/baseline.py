"""`baseline`: keeps a run to compare with, and shows what is kept."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import paths
from harness.cli.results import tell_recovered
from harness.report.columns import columns
from harness.report.numbers import number, with_interval
from harness.results import baseline
from harness.results.canonical import pretty
from harness.results.history import History
from harness.results.times import said


def main(argv: Sequence[str]) -> int:
    """Saves or shows baselines; the exit code.

    Raises:
        NotFound: the run or the baseline does not exist.
        RefusedError: the run cannot be a baseline, or the folder cannot be written.
        StoreLost: a document cannot be read.
    """
    options = _parse(argv)
    return int(options.act(options))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness baseline",
        description="Baselines lie in baselines/<scenario>/<device>.json, to be committed.",
    )
    verbs = parser.add_subparsers(required=True, metavar="save|show")
    save = verbs.add_parser("save", help="keep a run as the baseline of its scenario and device")
    save.add_argument("run", help="a run id, its beginning, or `last`")
    save.add_argument("--to", type=Path, metavar="FOLDER", help="another folder than the project's baselines/")
    save.add_argument("--json", action="store_true", help="the document as JSON")
    save.set_defaults(act=_save)
    show = verbs.add_parser("show", help="list the baselines, or show those of one scenario")
    show.add_argument("scenario", nargs="?", help="only this scenario, with its metrics")
    show.add_argument("--device", metavar="D", help="only this device")
    show.add_argument(
        "--from", dest="base", type=Path, metavar="FOLDER", help="another folder than the project's baselines/"
    )
    show.add_argument("--json", action="store_true", help="the documents as JSON")
    show.set_defaults(act=_show)
    return parser.parse_args(argv)


def _save(options: argparse.Namespace) -> int:
    from harness.errors import RefusedError

    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        run_id = history.find(options.run)
        result = history.result(run_id)
    finally:
        history.close()
    if result is None:
        raise RefusedError(f"{run_id} cannot be a baseline: it has no result", "Save a run that completed")
    path, document = baseline.save(result, options.to or baseline.folder())
    if options.json:
        print(pretty(document).decode(), end="")
        return 0
    replaced = f", in place of {document['replaces']}" if document["replaces"] else ""
    print(f"{run_id} is the baseline of {document['scenario']} on {document['device']}{replaced}: {path}")
    if document["canary"] is None:
        print(f"it holds no canary ({baseline.CANARY}), so a comparison with it can only be inconclusive")
        print("measure.canary=true records one beside the measured work")
    return 0


def _show(options: argparse.Namespace) -> int:
    base = options.base or baseline.folder()
    documents = [baseline.load(path) for path in baseline.stored(base)]
    found = [
        document
        for document in documents
        if options.scenario in (None, document["scenario"]) and options.device in (None, document["device"])
    ]
    if options.json:
        print(pretty(found).decode(), end="")
    elif not found:
        print(f"no baseline matches in {base}")
    elif options.scenario is None:
        print(columns(("scenario", "device", "run", "saved (UTC)", "host", "metrics"), [_line(item) for item in found]))
    else:
        print("\n\n".join(_details(document) for document in found))
    return 0


def _line(document: dict[str, Any]) -> list[str]:
    where = (document["scenario"], document["device"], document["run_id"], said(document["saved_at"]))
    return [*where, document["host"]["name"] or "-", str(len(document["metrics"]))]


def _details(document: dict[str, Any]) -> str:
    rows = []
    for name, metric in document["metrics"].items():
        found = metric["statistics"]
        mean = with_interval(found["mean"], found["ci"]["mean"])
        rows.append(
            [name, metric["unit"], number(found["n"]), mean, *(number(found[stat]) for stat in ("p50", "p95", "p99"))]
        )
    saved = said(document["saved_at"])
    head = f"{document['scenario']} on {document['device']}: run {document['run_id']}, saved {saved} UTC"
    host = f"host {document['host']['name'] or 'unnamed'}, fingerprint {document['host']['fingerprint'][:12]}"
    return f"{head}\n{host}\n{columns(('metric', 'unit', 'n', 'mean ± 95 % CI', 'p50', 'p95', 'p99'), rows)}"
