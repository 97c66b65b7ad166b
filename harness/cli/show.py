"""`show`: one stored run, suite or comparison, as its report or as its documents."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import paths
from harness.cli.results import tell_recovered
from harness.errors import RefusedError
from harness.report.columns import columns
from harness.report.numbers import number
from harness.results import records
from harness.results.canonical import pretty
from harness.results.history import History
from harness.results.times import said


def main(argv: Sequence[str]) -> int:
    """Prints one run, suite or comparison; the exit code.

    Raises:
        NotFound: nothing, or more than one, is meant.
        StoreLost: its documents cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="python -m harness show", description="Shows one stored run, suite or comparison."
    )
    parser.add_argument(
        "id",
        nargs="?",
        default="last",
        help="of a run, suite or comparison, its beginning, its last six digits; or `last`",
    )
    parser.add_argument("--json", action="store_true", help="the document, or the manifest of a run without a result")
    options = parser.parse_args(argv)
    history = History(paths.outputs())
    try:
        tell_recovered(history.recover())
        named = records.find(history, options.id)
    finally:
        history.close()
    if named.kind is not records.RUN:
        return _show_record(history, named, options.json)
    manifest, result = history.manifest(named.id), history.result(named.id)
    folder = history.runs / named.id
    if options.json:
        print(pretty(manifest if result is None else result).decode(), end="")
        return 0
    print(_origin(manifest))
    print()
    print(_report(folder, manifest, result))
    if result is not None:
        print(_against_baseline(result))
    print(f"files: {folder}")
    return 0


def _show_record(history: History, named: records.Named, as_json: bool) -> int:
    """Prints a suite or a comparison as it was printed when it ended."""
    folder = records.folder_of(history.outputs, *named)
    if records.is_open(history.outputs, named):
        raise RefusedError(f"{named.id} has no report yet: it still runs, or was cut short", f"its files: {folder}")
    document = records.read(history.outputs, named)
    if as_json:
        print(pretty(document).decode(), end="")
        return 0
    if named.kind is records.SUITE:
        _show_suite(history, document)
    else:
        from harness.report.ab import ab_report

        print(ab_report(document, "simple"))
    print(f"files: {folder}")
    return 0


def _show_suite(history: History, document: Mapping[str, Any]) -> None:
    from harness.report.suite import print_stored
    from harness.results.suite import state

    code = document["exit_code"]
    facts = [
        ["suite", document["suite_id"]],
        ["status", state(document) if code is None else f"{state(document)}, exit code {code}"],
        ["created", f"{said(document['created_at'])} UTC"],
        *(["resumed", f"{said(time)} UTC"] for time in document["resumed_at"]),
        ["on", document["host"]],
        ["command", " ".join(document["command"])],
    ]
    print(f"{_aligned(facts)}\n")
    # A job without a verdict has no result, though its run may hold one of an earlier attempt.
    judged = [job["run_id"] if job["verdict"] is not None else None for job in document["jobs"]]
    gone = [run_id for run_id in judged if run_id is not None and not (history.runs / run_id).is_dir()]
    stored = [None if run_id is None or run_id in gone else history.result(run_id) for run_id in judged]
    print_stored(document, stored)
    if gone:
        print(f"no longer stored, and told from the suite's record alone: {', '.join(gone)}")


def _origin(manifest: Mapping[str, Any]) -> str:
    """Who ran what, when, where."""
    status = manifest["status"]
    facts = [
        ["run", manifest["run_id"]],
        ["status", status if manifest["verdict"] is None else f"{status}, verdict {manifest['verdict']}"],
        ["created", f"{said(manifest['created_at'])} UTC"],
        ["by", f"{manifest['user'] or 'unknown'} on {manifest['host']}"],
        ["command", " ".join(manifest["command"])],
        *_annotations(manifest),
    ]
    return _aligned(facts)


def _aligned(facts: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"{name:<9}{value}" for name, value in facts)


def _annotations(manifest: Mapping[str, Any]) -> list[list[str]]:
    """What people added to the run, and where it was imported from."""
    found = [["tags", " ".join(manifest["tags"])]] if manifest["tags"] else []
    found += [["pinned", "kept by prune"]] if manifest["pinned"] else []
    origin = manifest["origin"]
    if origin is not None:
        found.append(["from", f"{origin['kind']} {origin['source']}, imported {said(origin['imported_at'])} UTC"])
    notes = [f"{said(note['time'])} UTC, {note['user'] or 'unknown'}: {note['text']}" for note in manifest["notes"]]
    return [*found, *(["note", note] for note in notes)]


def _report(folder: Path, manifest: Mapping[str, Any], result: Mapping[str, Any] | None) -> str:
    path = folder / "report.md"
    if path.exists():
        return path.read_text(encoding="utf-8")
    if result is not None:
        from harness.report.markdown import run_report  # late: the stored report is nearly always there

        return run_report(result)
    reason = manifest["reason"]
    why = "" if reason is None else f" {reason['kind']}: {reason['message']}."
    head = (
        f"No result: the run is {manifest['status']}.{why} Iterations measured: {manifest['completed_iterations']}.\n"
    )
    return f"{head}\n{_partial(folder)}\n"


def _partial(folder: Path) -> str:
    """What a run without a result told while it lasted: its steps, its last sensors, its troubles."""
    import time

    from harness.report.status import status_text
    from harness.track.live import Watched

    now = time.time()
    return status_text(Watched(folder).look(now), now)


def _against_baseline(result: Mapping[str, Any]) -> str:
    """The run beside the committed baseline of its scenario and device: shown, and no verdict."""
    from harness.results import baseline

    path = baseline.path_of(baseline.folder(), result["scenario"], result["device"])
    if not path.exists():
        return f"No baseline for {result['scenario']} on {result['device']}.\n"
    stored = baseline.load(path)
    same = stored["host"]["fingerprint"] == baseline.fingerprint(result)["fingerprint"]
    rows = []
    for name, metric in result["metrics"].items():
        if name in stored["metrics"]:
            now, then = metric["statistics"]["p50"], stored["metrics"][name]["statistics"]["p50"]
            change = f"{100 * (now - then) / abs(then):+.1f} %" if then else "-"
            rows.append([name, metric["unit"], number(now), number(then), change])
    where = "the same host" if same else f"another host ({stored['host']['name'] or 'unnamed'}), so not comparable"
    table = columns(("metric", "unit", "p50", "baseline p50", "change"), rows)
    return f"Baseline {stored['run_id']}, {where}; for information, not a verdict:\n{table}\n"
