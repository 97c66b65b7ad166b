"""Suites and comparisons in a store, under ids that are as old as a test wants."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.report.ab import ab_report
from harness.results import records
from harness.results.canonical import digest, pretty
from harness.results.records import COMPARISON, SUITE, Kind, Named
from tests.engine.ab_documents import a_document
from tests.results.suites import JOBS, a_suite, ended

NOW = datetime(2027, 6, 1, tzinfo=UTC)


def an_id(days: float, name: str) -> str:
    """The id that was given so many days before now."""
    return f"{NOW - timedelta(days=days):%Y%m%dT%H%M%SZ}-{name}"


def a_stored_suite(outputs: Path, suite_id: str, run_ids: Sequence[str] = (), **changes: Any) -> dict[str, Any]:
    """The document of a suite of these runs that came to its end."""
    record = a_suite(outputs, jobs=[JOBS[0]] * max(1, len(run_ids)))
    for at, run_id in enumerate(run_ids):
        ended(record, at, run_id=run_id)
    record.end("completed", 0)
    record.folder.rename(record.folder.with_name(suite_id))
    return stored(outputs, SUITE, suite_id, {**record.document, "suite_id": suite_id, **changes})


def a_comparison(outputs: Path, ab_id: str, **changes: Any) -> dict[str, Any]:
    """The document of a comparison that found nothing, stored with its report."""
    records.folder_of(outputs, COMPARISON, ab_id).mkdir(parents=True)
    document = stored(outputs, COMPARISON, ab_id, {**a_document(), "ab_id": ab_id, **changes})
    (records.folder_of(outputs, COMPARISON, ab_id) / "report.md").write_text(ab_report(document))
    return document


def stored(outputs: Path, kind: Kind, record_id: str, document: dict[str, Any]) -> dict[str, Any]:
    """The document as it is then, with its own digest."""
    content = {key: value for key, value in document.items() if key != "digest"}
    sealed = {**content, "digest": digest(content)}
    path_of(outputs, Named(kind, record_id)).write_bytes(pretty(sealed))
    return sealed


def path_of(outputs: Path, named: Named) -> Path:
    """Where its document lies."""
    return records.folder_of(outputs, *named) / named.kind.file
