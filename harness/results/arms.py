"""One side of a comparison: a stored run, several runs of one kind, or a committed baseline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import NotFound, RefusedError
from harness.results import baseline
from harness.results.history import History

MOST_RUNS = 50  # of one arm; more would say no more about it, and take longer to read
_FINDERS = ("tag", "model", "scenario", "device", "host")


class Arm(NamedTuple):
    """What is compared: the documents of its runs, oldest first; a baseline stands as one document without a config."""

    name: str
    documents: Sequence[Mapping[str, Any]]
    run_ids: Sequence[str]
    baseline: bool = False
    headline: str | None = None  # the metric that stands for its newest run in lists

    @property
    def first(self) -> Mapping[str, Any]:
        """The document that speaks for what all runs of the arm share."""
        return self.documents[-1]

    @property
    def metrics(self) -> list[str]:
        """The names of all that was measured in any of the runs."""
        return sorted({name for document in self.documents for name in document["metrics"]})

    def metric(self, name: str) -> list[Mapping[str, Any]]:
        """The metric as each run that measured it holds it."""
        return [document["metrics"][name] for document in self.documents if name in document["metrics"]]


def find(text: str, history: History, *, base: Path | None = None, scenario: str | None = None) -> Arm:
    """The arm that a person named.

    `text` is a run (its id, a part of it, or `last`), several with commas between, `tag:nightly` and the like for all
    completed runs that match, `baseline` for the committed one of `scenario` (or of the newest run), or a baseline's
    file.

    Raises:
        NotFound: there is no such run or baseline, or no completed run matches.
        RefusedError: a named run has no result.
        StoreLost: a document cannot be read.
    """
    if text == "baseline" or text.endswith(".json"):
        return _committed(text, history, base or baseline.folder(), scenario)
    key, colon, value = text.partition(":")
    if colon and key in _FINDERS:
        return _matching(text, {key: value}, history)
    ids = list(dict.fromkeys(history.find(part.strip()) for part in text.split(",")))
    return _of_runs(ids[0] if len(ids) == 1 else f"{len(ids)} runs from {ids[0]}", ids, history)


def _of_runs(name: str, run_ids: Sequence[str], history: History) -> Arm:
    documents = []
    for run_id in run_ids:
        result = history.result(run_id)
        if result is None:
            status = history.manifest(run_id)["status"]
            raise RefusedError(f"{run_id} cannot be compared: it is {status} and has no result", "Name a finished run")
        documents.append(result)
    documents.sort(key=lambda document: document["started_at"])
    ordered = [document["run_id"] for document in documents]
    newest = history.index.find(run_id=ordered[-1])
    return Arm(name, documents, ordered, headline=newest[0]["metric"] if newest else None)


def _matching(text: str, equal: Mapping[str, str], history: History) -> Arm:
    tag = equal.get("tag")
    columns: dict[str, Any] = {key: value for key, value in equal.items() if key != "tag"}
    rows = history.index.find(last=MOST_RUNS, status="completed", tag=tag, **columns)
    if not rows:
        raise NotFound(f"no completed run matches {text!r} in {history.runs}", "`python -m harness results` lists them")
    return _of_runs(text, [row["run_id"] for row in rows], history)


def _committed(text: str, history: History, base: Path, scenario: str | None) -> Arm:
    path = Path(text)
    if text == "baseline":
        newest = history.index.find(last=1, status="completed", scenario=scenario)
        if not newest:
            raise NotFound(f"no completed run in {history.runs} says which baseline is meant", "Name its file")
        path = baseline.path_of(base, newest[0]["scenario"], newest[0]["device"])
    document = baseline.load(path)
    return Arm(f"baseline {document['scenario']}/{document['device']}", [document], [document["run_id"]], True)
