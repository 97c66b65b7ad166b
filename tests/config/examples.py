"""Reads the example files: what they expect stands in their first lines, how they are run in their last."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from harness.config.check import check
from harness.config.compose import compose_all
from harness.config.signature import describe_targets
from harness.config.targets import undescribed
from harness.errors import Problem
from harness.measure.catalogue import load_catalogue

EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Example:
    """One YAML file of a user: above its content the messages expected, below it how it is used (`# run:`, `# as:`)."""

    path: Path

    def _directive(self, name: str, default: str) -> str:
        marks = [line for line in self.path.read_text().splitlines() if line.startswith(f"# {name}: ")]
        return marks[-1].removeprefix(f"# {name}: ") if marks else default

    @property
    def expected(self) -> list[str]:
        lines = self.path.read_text().splitlines()
        until = next(at for at, line in enumerate(lines) if not line.startswith("# ") or line.startswith("# @"))
        return [line.removeprefix("# ") for line in lines[:until]]

    @property
    def overrides(self) -> list[str]:
        return shlex.split(self._directive("run", f"scenario={self.path.stem}"))

    def install(self, folder: Path) -> None:
        """Writes the file as an option of the folder; messages become empty lines, so that lines keep their number."""
        lines = self.path.read_text().splitlines(keepends=True)
        blanked = ["\n"] * len(self.expected) + lines[len(self.expected) :]
        target = folder / self._directive("as", f"scenario/{self.path.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(blanked))


def problems_of(overrides: list[str], folder: Path | None = None) -> list[Problem]:
    """Everything wrong with the run or sweep that these overrides ask for, as the command line would list it."""
    config_dirs = [folder] if folder else []
    whole, jobs = compose_all(overrides, config_dirs)
    found = list(whole.problems)
    for job in jobs:
        found += check(job, load_catalogue(), describe_targets(undescribed(job)))
    return list(dict.fromkeys(found))
