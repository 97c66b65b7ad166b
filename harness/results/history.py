"""Reading what the store holds: the run that a person means, its manifest, its result; light, for the reading verbs."""

from pathlib import Path
from typing import Any

from harness.errors import NotFound
from harness.results import schema
from harness.results.index import Index


class History:
    """The stored runs of one output folder."""

    def __init__(self, outputs: Path) -> None:
        """Looks at the folder `outputs`, which may be missing or read-only."""
        self.outputs = outputs
        self.runs = outputs / "runs"
        self.index = Index(outputs)

    def recover(self) -> list[dict[str, Any]]:
        """Brings runs to an end whose process is gone; every command does it. Cheap when none is active."""
        try:
            if not any((self.outputs / "active").iterdir()):
                return []
        except OSError:
            return []
        from harness.results.store import Store

        store = Store(self.outputs)
        try:
            return store.recover()
        finally:
            store.close()

    def find(self, text: str) -> str:
        """The id of the run that a person named: `last`, a whole id, its beginning, or the six digits at its end.

        Raises:
            NotFound: there is none, or more than one.
        """
        found = [row["run_id"] for row in self.index.find(last=1)] if text == "last" else self.like(text)
        if text in found:
            return text
        if len(found) == 1:
            return str(found[0])
        if not found:
            what = "no run is stored" if text == "last" else f"no run {text!r}"
            raise NotFound(f"{what} in {self.runs}", "`python -m harness results` lists the runs")
        raise NotFound(f"more than one run is meant by {text!r}", "one of: " + ", ".join(found))

    def like(self, text: str) -> list[str]:
        """The ids of the runs that begin with the text, or else end with it after a dash."""
        return self.index.ids_like(text) if text else []

    def manifest(self, run_id: str) -> dict[str, Any]:
        """The manifest of a run.

        Raises:
            StoreLost: it cannot be read.
        """
        return schema.read(self.runs / run_id / "manifest.json", "manifest")

    def result(self, run_id: str) -> dict[str, Any] | None:
        """The result document of a run, None where the run ended without one.

        Raises:
            StoreLost: it is there and cannot be read.
        """
        path = self.runs / run_id / "result.json"
        return schema.read(path, "result") if path.exists() else None

    def close(self) -> None:
        """Lets go of the index."""
        self.index.close()
