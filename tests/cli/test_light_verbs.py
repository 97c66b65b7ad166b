"""The reading verbs stay light: what they import is what they cost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results.store import Store
from tests.results.documents import a_stored_run
from tests.results.stored_records import a_comparison, a_stored_suite, an_id

HEAVY = ("torch", "numpy", "hydra", "omegaconf", "yaml", "jsonschema", "tabulate", "psutil", "filelock", "hashlib")


@pytest.mark.parametrize(
    "call",
    [
        "results.main([])",
        "results.main(['--json'])",
        "results.main(['--suites'])",
        "results.main(['--ab'])",
        "show.main([])",
        "show.main(['--json'])",
        "compare.main(['last', 'last'])",
        "compare.main(['last', 'last', '--json'])",
        "summary.main([])",
        "trend.main(['rollback'])",
    ],
)
def test_a_reading_verb_imports_nothing_heavy(call: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    a_stored_run(store)
    store.close()
    a_stored_suite(tmp_path, an_id(1, "suite.nightly-abab01"))
    a_comparison(tmp_path, an_id(1, "ab-function-abab02"))
    verb = call.split(".", maxsplit=1)[0]
    program = (
        f"import sys; from harness.cli import {verb}; {call}; sys.exit(' '.join(set({HEAVY!r}) & set(sys.modules)))"
    )
    environment = {**os.environ, "HARNESS_OUTPUTS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == "\n", "these were imported"
